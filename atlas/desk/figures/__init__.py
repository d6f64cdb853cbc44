"""The figures of the calls and of the people, and how they look."""
