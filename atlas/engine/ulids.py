"""ULIDs: identifiers that sort by the time they were made (https://github.com/ulid/spec)."""

import base64
import binascii
import hashlib
import secrets
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LATEST = 2**48 - 1


def new_ulid() -> str:
    """A ULID of this millisecond."""
    return _encode(int(time.time() * 1000), secrets.token_bytes(10))


def seeded_ulids(seed: str | None, count: int) -> list[str]:
    """The ULIDs for the events of one request: the same ones whenever the same seed comes again."""
    parsed = _parse_seed(seed) if seed else None
    if parsed is None:
        return [new_ulid() for _ in range(count)]
    milliseconds, entropy = parsed
    return [
        _encode(milliseconds, hashlib.sha256(entropy + str(index).encode()).digest()[:10])
        for index in range(count)
    ]


def _parse_seed(seed: str) -> tuple[int, bytes] | None:
    milliseconds, _, entropy = seed.partition(",")
    try:
        at, drawn = int(milliseconds), base64.b64decode(entropy, validate=True)
    except (ValueError, binascii.Error):
        return None
    return (at, drawn) if 0 <= at <= _LATEST and len(drawn) == 10 else None


def _encode(milliseconds: int, entropy: bytes) -> str:
    number = int.from_bytes(milliseconds.to_bytes(6, "big") + entropy, "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
