"""The page of a person's own account, and every way into the desk and out of it."""
