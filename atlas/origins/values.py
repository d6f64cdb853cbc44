"""Whether a value of the arguments stands in a text, and how.

Traced: texts and keys with at least four letters and digits, of which one word is not common (`common.py`);
numbers with at least three figures, but 100; dates; addresses; what stands in such a text behind an encoding.
Not traced, since it says nothing about where it came from: true, false, null; shorter texts such as `USD`;
statuses, roles, formats, days, months, and other words that stand everywhere; numbers such as 7 or 0.5.
A value is found between borders of words only: `eve@example.net` does not stand in `steve@example.net`.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from atlas.models import plain_text
from atlas.origins.folding import JOINERS, UNSPACED, folded, place_before_folding
from atlas.origins.forms import Run, Wanted, wanted
from atlas.origins.matching import Hit, Looks, Texts, parts_in, place_of_run, whole_in
from atlas.origins.searchable import Searchable
from atlas.origins.spelling import is_address, is_alike, spelled, without_alike
from atlas.traces import How

AROUND = 80  # characters of a passage on each side
LONGEST_PASSAGE = 200
LONGEST_SHOWN = 40  # characters of a value in a passage
_SENTENCE = re.compile(r"(?<=[a-z0-9/])\.(?=[A-Z][a-z]*\s)")  # a stop, and the first word behind it
MOST_PLACES = 20  # that are tried for one with borders on both sides


class Place(NamedTuple):
    """Where a value stands in a text."""

    how: How
    passage: str


def find(value: Any, text: str) -> Place | None:
    """Where a leaf of the arguments stands in a text, whole or in part, if it does."""
    looked_for = wanted(value)
    return None if looked_for is None else find_wanted(looked_for, text)


def find_wanted(value: Wanted, text: str) -> Place | None:
    """The same for a value whose forms are known."""
    texts = Texts([readable(text)])
    hits = whole_in(value, texts) or parts_in(value, texts)
    return place_of(value, hits[0]) if hits else None


def says(value: Wanted, text: str) -> bool:
    """Whether a text names a value: all of it, between blanks, and not as a part of something longer.

    An address ends where a sentence begins, also without a blank: "our site www.example.org.They wrote".
    """
    if _says(value, text):
        return True
    return is_address(value.said) and (apart := _SENTENCE.sub(". ", text)) != text and _says(value, apart)


def _says(value: Wanted, text: str) -> bool:
    is_strict = is_address(value.said)
    if is_alike(value.said, with_accents=is_strict):  # then letter by letter
        return _bordered(spelled(text), spelled(value.said)) >= 0 or _says_each(value, text)
    form = readable(without_alike(text, with_accents=is_strict))
    if any(form.has_term(thing) for thing in value.things if _is_exact(thing)):
        return not value.also or f" {value.also}" in form.flat or f"t{value.also}" in form.flat
    if value.chunks.strip() and value.chunks in form.chunks:
        return True
    if any(run.digits in form.digits and place_of_run(run, form, Looks()) is not None for run in value.runs):
        return True
    if not value.words:  # a number or a day
        return bool(whole_in(value, Texts([form])))
    return _says_each(value, text)


def _says_each(value: Wanted, text: str) -> bool:
    return value.is_list and all(says(part, text) for part in value.parts)


def _is_exact(thing: str) -> bool:
    """Whether a thing is found only where it is no part of another; a word may stand in an address."""
    return thing.isdigit() or not thing.isalnum()


@lru_cache(maxsize=64)
def readable(text: str) -> Searchable:
    """The searchable form of a text that is no result, such as what the user asked for."""
    return Searchable(text)


def place_of(value: Wanted, hit: Hit) -> Place:
    """How a value stands where it was found, with the words around it as they were written."""
    text = hit.text.form.text
    if hit.how is How.NORMALISED and (at := _bordered(text, value.said)) >= 0:
        return Place(How.EXACT, passage_at(text, at, len(value.said)))
    return Place(hit.how, passage_at(text, _place_of_form(hit), len(value.said)))


def _place_of_form(hit: Hit) -> int:
    form = hit.text.form
    if hit.form.startswith(" "):
        at = form.flat.find(hit.form)
        return form.place_of_word(form.flat.count(" ", 0, max(at, 0)))
    if (at := _bordered(written := folded(form.text), hit.form)) >= 0:
        return place_before_folding(form.text, at)
    number = place_of_run(Run("", hit.form, 5), form, Looks())
    return form.place_of_word(number) if number is not None else max(written.find(hit.form), 0)


def _bordered(text: str, said: str) -> int:
    """The place of a text in another where it is no part of something longer; else between words, else -1."""
    at, second = text.find(said), -1
    for _ in range(MOST_PLACES):
        if at < 0:
            break
        before, after = text[max(0, at - 2) : at], text[at + len(said) : at + len(said) + 2]
        if not (_goes_on(before[-1:]) or _goes_on(after[:1])):
            is_joined = before[-1:] in JOINERS and before[:-1].isalnum()
            if not is_joined and not (after[:1] in JOINERS and after[1:].isalnum()):
                return at
            second = at if second < 0 else second
        at = text.find(said, at + 1)
    return second


def _goes_on(character: str) -> bool:
    """Whether a word goes on with a character; in scripts without blanks each character is a word."""
    return character.isalnum() and not UNSPACED.match(character)


def passage_at(text: str, at: int, length: int) -> str:
    """The plain text around a place, at most 200 characters."""
    around = text[max(0, at - AROUND) : at + min(length, LONGEST_SHOWN) + AROUND]
    plain = around if around.isascii() and around.isprintable() else plain_text(around)
    return plain[:LONGEST_PASSAGE]
