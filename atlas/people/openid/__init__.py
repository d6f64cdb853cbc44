"""People who sign in at an OpenID provider: it is asked who they are, and what it says is checked."""
