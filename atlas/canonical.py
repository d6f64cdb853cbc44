"""The one form of a JSON value that is hashed (RFC 8785), and its digest."""

import hashlib
from typing import Any

import rfc8785


class NotCanonical(ValueError):
    """The value has no RFC 8785 form."""


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value, as UTF-8.

    Raises NotCanonical for what has none: integers beyond ±(2^53 - 1), NaN, infinities, lone surrogates.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise NotCanonical(str(error)) from error


def digest(value: Any) -> str:
    """The SHA-256 of the RFC 8785 form, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
