"""Where it is kept: the file, its one writer, its migrations. What is kept, the rooms that keep it know."""
