"""The inbox: what waits, which of it and how it is told apart, and many calls decided at once."""
