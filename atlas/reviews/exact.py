"""JSON that a person writes: it is read as it stands there, or not at all."""

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any

from atlas.canonical import LARGEST_INTEGER
from atlas.models import plain_text

LONGEST_SHOWN = 40  # characters of what was written, in a sentence


class Inexact(ValueError):
    """It would be read as something else than what stands there; the message is a sentence."""


def read_exactly(text: str | bytes) -> Any:
    """The value of a text; raises Inexact, and ValueError or RecursionError for what is no JSON at all."""
    return json.loads(
        text,
        object_pairs_hook=_with_each_name_once,
        parse_int=_whole,
        parse_float=_fraction,
        parse_constant=_no_number,
    )


def _with_each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twin = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise Inexact(f"The name {_short(twin)} stands twice in one place.")
    return value


def _whole(text: str) -> int:
    if len(text) > LONGEST_SHOWN or abs(int(text)) > LARGEST_INTEGER:
        raise Inexact(f"{_short(text)} is beyond ±{LARGEST_INTEGER}.")
    return int(text)


def _fraction(text: str) -> float:
    value = float(text)
    try:
        # As people write it, or with the 17 digits with which some programs write each number.
        is_exact = Decimal(text) in (Decimal(repr(value)), Decimal(f"{value:.17g}"))
    except InvalidOperation:  # an exponent that no number has: it is refused
        is_exact = False
    if not is_exact:
        raise Inexact(f"{_short(text)} cannot be kept as a number: it would become {value!r}.")
    return value


def _no_number(text: str) -> Any:
    raise Inexact(f"{text} is no number of JSON.")


def _short(text: str) -> str:
    shown = plain_text(text)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"
