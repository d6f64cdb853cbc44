"""JSON as it is stored and signed: only what has a canonical form (RFC 8785) is let in."""

import itertools
import json
import math
import re
from typing import Any, NoReturn

import jcs

from atlas.canonical import plain_json
from atlas.engine.errors import NotJson

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURE_DIGITS = 308  # an integer of so many is below 1.8e308, the largest number that has a form

# What is deeper could be parsed here and then not be signed, matched or put into another event: how deep
# Python goes depends on its version, on the thread, and on whether celpy has raised the limit of the process.
DEEPEST = 200
_NO_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^"\[\]{}]+')


def canonicalise(text: str) -> bytes:
    """The canonical form (RFC 8785) of a JSON text; raises NotJson for what has none."""
    try:
        value = json.loads(text)
        canonical: bytes = plain_json(value) or jcs.canonicalize(value)
    except RecursionError as error:
        raise NotJson("The value is nested too deeply to be signed.") from error
    except OverflowError as error:  # of a store of an earlier version, which took such numbers
        raise NotJson("The value has a number that is too large to be signed.") from error
    return canonical


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text; raises NotJson for what has no canonical form or over 200 levels."""
    try:
        decoded = text if isinstance(text, str) else text.decode()  # json.loads lets surrogates through
        value = _DECODER.decode(decoded)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"The body is not JSON: {error}.") from error
    if _SURROGATE.search(decoded):
        write_json(value)
    if decoded.count("[") + decoded.count("{") > DEEPEST and _depth(decoded) > DEEPEST:
        raise NotJson(f"The body is nested more than {DEEPEST} levels deep.")
    return value


def write_json(value: Any) -> str:
    """The compact JSON text of a value; raises NotJson for text that is not Unicode."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise NotJson(f"The value can't be written as JSON: {error}.") from error
    return text


def _depth(text: str) -> int:
    brackets = _NO_BRACKET.sub("", text)
    return max(itertools.accumulate(1 if bracket in "[{" else -1 for bracket in brackets))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _parse_integer(text: str) -> int:
    if len(text) > _SURE_DIGITS and math.isinf(float(text)):
        raise NotJson(f"A number of {len(text)} digits is too large to be signed; send it as a text.")
    return int(text)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_parse_integer)
