"""The one form of a JSON value that is hashed (RFC 8785), and its digest."""

import hashlib
import json
import math
import re
from typing import Any

import rfc8785

# Fractions, exponents, long integers, and keys that UTF-16 sorts differently from code points. A number ends
# where a value can end, as the seconds in an instant do not. Three expressions, since each begins with one of
# some signs: Python looks for these five times as fast as for either of two.
_EXOTIC_INSIDE = re.compile(r"[\[:,]-?\d(?:\d{15}|\d*(?:\.\d|[eE])[-+\deE]*(?:$|[\],}]))")
_EXOTIC_ALONE = re.compile(r"-?\d(?:\d{15}|\d*(?:\.\d|[eE]))")
_EXOTIC_KEY = re.compile(r"[\ue000-\U0010ffff]")

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))

DEEPEST = 500  # levels; without this bound it would be as many as the version of Python can write
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')  # and texts, in which a bracket is none
DEEPEST_PLACE = 30  # levels, in a sentence on what has no form
LARGEST_INTEGER = 2**53 - 1  # that RFC 8785 can write


class NotCanonical(ValueError):
    """The value has no RFC 8785 form."""


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value, as UTF-8.

    Raises NotCanonical for what has none: integers beyond ±(2^53 - 1), NaN, infinities, lone surrogates; and
    for more than DEEPEST levels.
    """
    try:
        form = plain_json(value) or rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise NotCanonical(str(error)) from error
    if form.count(b"[") + form.count(b"{") > DEEPEST and _levels(form) > DEEPEST:
        raise NotCanonical(f"It has more than {DEEPEST} levels.")
    return form


def plain_json(value: Any) -> bytes | None:
    """The same from the standard library, five times as fast, or None for what it would write differently."""
    try:
        text = _ENCODER.encode(value)
        return None if _is_exotic(text) else text.encode()
    except (TypeError, ValueError, RecursionError):
        return None  # the library for the form knows the reason


def _levels(form: bytes) -> int:
    """How many lists and objects stand inside one another."""
    level = deepest = 0
    for mark in _BRACKETS.findall(form):
        level += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(mark, 0)
        deepest = max(deepest, level)
    return deepest


def _is_exotic(text: str) -> bool:
    has_key = not text.isascii() and _EXOTIC_KEY.search(text) is not None
    return has_key or bool(_EXOTIC_INSIDE.search(text) or _EXOTIC_ALONE.match(text))


def without_a_form(value: Any, place: str = "it") -> str:
    """What in a value has no RFC 8785 form, and where: a sentence for the one who sent it."""
    if place.count(".") >= DEEPEST_PLACE:
        return f"something in {place} has none."
    if isinstance(value, dict):
        inside = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        inside = [(str(index), item) for index, item in enumerate(value)]
    elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return f"{place} is beyond ±{LARGEST_INTEGER}. Send it as a text, if the tool takes one."
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{place} is NaN or infinite, which is no JSON. Send it as a text, if the tool takes one."
    else:
        return "it has a half of a character (a lone surrogate) in it, or too many levels."
    for key, item in inside:
        if not _has_a_form(item):
            return without_a_form(item, key if place == "it" else f"{place}.{key}")
    return "a name in it has a half of a character (a lone surrogate) in it."


def _has_a_form(value: Any) -> bool:
    try:
        canonical_json(value)
    except NotCanonical:
        return False
    return True


def finite_json(value: Any) -> str:
    """A value as JSON, with the texts NaN, Infinity and -Infinity for the numbers that JSON does not have."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_with_texts(value), ensure_ascii=False)


def finite(value: Any) -> Any:
    """The same value, with the texts NaN, Infinity and -Infinity for the numbers that JSON does not have."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False)  # in C, and nearly always enough
        return value
    except ValueError:
        return _with_texts(value)


def _with_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_texts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_texts(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value


def digest(value: Any) -> str:
    """The SHA-256 of the RFC 8785 form, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def form_of_call(arguments: dict[str, Any], continuation: dict[str, Any] | None) -> dict[str, Any]:
    """What an agent gives to a tool: its arguments, and what it adds because the tool asked for more."""
    if continuation is None:
        return arguments
    return {
        "arguments": arguments,
        "input_responses": continuation.get("inputResponses"),
        "request_state": continuation.get("requestState"),
    }


def digest_of_call(arguments: dict[str, Any], continuation: dict[str, Any] | None) -> str:
    """The digest of what an agent gives to a tool."""
    return digest(form_of_call(arguments, continuation))
