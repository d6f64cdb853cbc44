"""The ways on which an outcome reaches its agent: the call itself, the same call again, tasks, resources."""
