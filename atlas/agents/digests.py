"""What a key is compared by. Commands for people need it, and need nothing of MCP."""

from hashlib import sha256


def digest_of_key(key: str) -> bytes:
    """What a key is compared by, so that the time of a comparison tells nothing."""
    return sha256(key.encode()).digest()
