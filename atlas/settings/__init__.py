"""The settings: each is described once, and the environment and `.env` have one reader.

`Settings` stands in `reading.py` and inherits what stands in the files of one thing each.
"""

from atlas.settings.reading import Settings, as_seen, is_loopback, named_keys, read_env_file, variables

__all__ = ["Settings", "as_seen", "is_loopback", "named_keys", "read_env_file", "variables"]
