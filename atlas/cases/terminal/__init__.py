"""What `python -m atlas.cases` is made of: the gateway over HTTP, and the lines of a terminal."""
