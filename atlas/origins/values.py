"""Whether a value of the arguments stands in a text, and how."""

import unicodedata
from typing import Any, NamedTuple

from atlas.models import plain_text
from atlas.traces import How

SHORTEST = 3  # characters of a value that says something about where it came from
AROUND = 80  # characters of a passage on each side


class Place(NamedTuple):
    """Where a value stands in a text."""

    how: How
    passage: str


def find(value: Any, text: str) -> Place | None:
    """Where a leaf of the arguments stands in a text, if it does."""
    said = value if isinstance(value, str) else str(value)
    if isinstance(value, bool) or value is None or len(said.strip()) < SHORTEST:
        return None
    at = text.find(said.strip())
    if at >= 0:
        return Place(How.EXACT, passage_at(text, at, len(said)))
    at = folded(text).find(folded(said))
    return None if at < 0 else Place(How.NORMALISED, passage_at(folded(text), at, len(said)))


def folded(text: str) -> str:
    """The text without case, other spellings of a character, and runs of blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def passage_at(text: str, at: int, length: int) -> str:
    """The plain text around a place, at most 200 characters."""
    return plain_text(text[max(0, at - AROUND) : at + min(length, 40) + AROUND])[:200]
