"""Where it is kept: the file, its one writer and its migrations.

The rooms that keep something describe their own tables.
"""
