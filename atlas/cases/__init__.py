"""What is kept of a call: its tables, its rounds, the definition of its tool, and its checked changes."""
