"""Local accounts: how one begins, how a person shows that it is theirs, and how it ends."""
