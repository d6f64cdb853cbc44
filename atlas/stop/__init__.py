"""Stops: everything, one agent, one tool or one server, until a person lifts it."""
