"""How a request of the user spells what it names: a letter that only looks like another one is another one.

What came from outside is found in spite of such letters. For the user they must not speak: an address with a
Cyrillic letter belongs to another person.
"""

import unicodedata
from functools import lru_cache

from atlas.origins.folding import folded

OTHER = "ю"  # in place of a letter that only looks like a Latin one; it looks like none
OF_ADDRESSES = frozenset("@./:\\")


def spelled(text: str) -> str:
    """A text whose letters have one form, width and case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def is_alike(text: str, *, with_accents: bool) -> bool:
    """Whether a text has letters that only look like Latin ones, or characters that are not seen."""
    return not text.isascii() and any(_is_alike(one, with_accents) for one in spelled(text))


def is_address(text: str) -> bool:
    """Whether a text can be an address, a file or a link, where an accent makes another one."""
    return not OF_ADDRESSES.isdisjoint(text)


@lru_cache(maxsize=64)
def without_alike(text: str, *, with_accents: bool) -> str:
    """A text in which letters that only look like Latin ones can no longer be taken for these."""
    if text.isascii():
        return text
    return "".join(_in_place_of(one) if _is_alike(one, with_accents) else one for one in spelled(text))


def _in_place_of(character: str) -> str:
    return OTHER if folded(character).strip() or unicodedata.category(character).startswith("M") else ""


@lru_cache(maxsize=4096)
def _is_alike(character: str, with_accents: bool) -> bool:
    if character.isascii():
        return False
    plain = folded(character)
    if plain and not (plain.isascii() and plain.isalnum()):
        return False
    has_accent = unicodedata.normalize("NFD", character)[:1].isascii() or not unicodedata.category(
        character
    ).startswith(("L", "N", "C"))
    return with_accents or not has_accent
