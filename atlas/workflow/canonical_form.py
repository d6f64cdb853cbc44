"""The canonical form that Inngest's SDK makes of each body which it signs or whose signature it checks.

The SDK writes it in Python, sign by sign. For most values the standard library writes the same bytes in C.
"""

from types import SimpleNamespace
from typing import Any

import jcs
from inngest._internal import transforms

from atlas.canonical import plain_json


def canonicalize(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value; of what the standard library would write differently by `jcs`."""
    form: bytes = plain_json(value) or jcs.canonicalize(value)
    return form


def quicken_sdk() -> None:
    """Have the SDK make the form in this way; what it signs and what it checks stays the same."""
    transforms.jcs = SimpleNamespace(canonicalize=canonicalize)  # type: ignore[attr-defined]
