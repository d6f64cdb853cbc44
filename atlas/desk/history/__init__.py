"""The history: what has ended, how it is searched, and as a file."""
