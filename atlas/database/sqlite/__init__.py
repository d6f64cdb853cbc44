"""A SQLite file as the store of one gateway: its file, its transactions, and the directory that holds it."""
