"""Where it is kept: a SQLite file or PostgreSQL, the one writer and the migrations.

The rooms that keep something describe their own tables.
"""
