"""The form of a text in which values are looked for: made once for each earlier result, and kept with it."""

import re
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import accumulate
from typing import Any
from weakref import ref

from atlas.assessors import Earlier
from atlas.origins.decoding import Decoded, decoded
from atlas.origins.folding import JOINERS, folded, place_before_folding, spaced
from atlas.origins.leaves import leaves_of
from atlas.traces import Order

MOST_CHARACTERS = 100_000  # of one text; the rest is not compared
LONG_RUN = 7  # digits that say something without their blanks, such as those of a phone or an account
DEEPEST = 2  # encodings inside one another
MOST_TEXTS = 100  # of one shelf
MOST_ASKED = 2_000  # groups of terms of one shelf of which it is kept which texts hold them
MOST_PLACES = 8  # that are tried before all things of a text are taken apart
MOST_ALONE = 4  # things that are looked for one by one; the ways to write a date are more
LONGEST_CHUNK = 300  # characters of a thing that is taken apart alone

_ONE_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+,\d{1,2}")
_DIGITS = bytes(code if chr(code).isdigit() and code < 128 else ord(" ") for code in range(256))


class Shelf:
    """Which of some texts hold a term: a word, or a whole thing such as an address.

    Terms are looked for when a value first asks for them, and later only in the texts that came since.
    """

    def __init__(self) -> None:
        self.words: set[str] = set()  # of all the texts
        self._texts: list[ref[Searchable]] = []
        self._all: dict[frozenset[str], tuple[int, int]] = {}  # a bit for each text; how many were asked
        self._any: dict[frozenset[str], tuple[dict[str, int], int]] = {}

    @property
    def count(self) -> int:
        """How many texts have come."""
        return len(self._texts)

    @cached_property
    def beside(self) -> "Shelf":
        """The shelf for what the agent itself said."""
        return Shelf()

    def put(self, text: "Searchable") -> int:
        """Put a text on the shelf; its bit."""
        self._texts.append(ref(text))
        self.words |= text.words
        return 1 << len(self._texts) - 1

    def with_all(self, words: frozenset[str]) -> int:
        """The texts that hold all of some words, each of them one bit."""
        mask, asked = self._all.get(words, (0, 0))
        if asked < len(self._texts) and (asked or self.words >= words):
            mask |= sum(bit for bit, form in self._since(asked) if form.words >= words)
            _keep(self._all, words, (mask, len(self._texts)))
        return mask

    def with_any(self, things: frozenset[str]) -> dict[str, int]:
        """The texts that hold some things, for each of these that one of them holds."""
        masks, asked = self._any.get(things, ({}, 0))
        if asked < len(self._texts):
            words = {thing: _words_of(thing) for thing in things}
            possible = {thing: needed for thing, needed in words.items() if self.words.issuperset(needed)}
            for bit, form in self._since(asked) if possible else ():
                for thing in form.held(possible):
                    masks[thing] = masks.get(thing, 0) | bit
            _keep(self._any, things, (masks, len(self._texts)))
        return masks

    def _since(self, asked: int) -> Iterator[tuple[int, "Searchable"]]:
        for place, text in enumerate(self._texts[asked:], asked):
            if (form := text()) is not None:
                yield 1 << place, form


class Searchable:
    """A text as words, as whole things such as addresses, and as runs of digits.

    Only its words are known at once; the rest is made when a value asks for it. `size` says roughly how many
    bytes all of it holds.
    """

    def __init__(
        self, text: str, *, shelf: Shelf | None = None, is_partly_read: bool = False, depth: int = 0
    ) -> None:
        self.is_partly_read = is_partly_read or len(text) > MOST_CHARACTERS
        self.text = text = text[:MOST_CHARACTERS]
        self.shelf = shelf or Shelf()
        self.words = frozenset(spaced(folded(text)).split())
        self.bit = self.shelf.put(self)
        behind = decoded(text) if depth < DEEPEST else Decoded((), True)
        self.decoded = tuple(Searchable(inner, shelf=shelf, depth=depth + 1) for inner in behind.texts)
        self.is_partly_read |= not behind.is_whole or any(inner.is_partly_read for inner in self.decoded)
        self.size: int = 5 * len(text) + 200 * len(self.words) + sum(one.size for one in self.decoded)

    def has_term(self, term: str) -> bool:
        """Whether a word stands in it, or a whole thing, or digits that are no part of a thing."""
        if term.isalnum() and not term.isdigit():
            return term in self.words
        at, written = -1, self.written
        for _ in range(MOST_PLACES):
            at = written.find(term, at + 1)
            if at < 0:
                return False
            chunk = written[written.rfind(" ", 0, at) + 1 : at + LONGEST_CHUNK].partition(" ")[0]
            if len(chunk) < LONGEST_CHUNK and term in _terms(chunk):
                return True
        return term in self.terms

    def held(self, possible: Mapping[str, Sequence[str]]) -> Collection[str]:
        """Which of some things, given with their words, stand in it."""
        if len(possible) > MOST_ALONE:
            return self.terms.intersection(possible)
        return [
            thing
            for thing, words in possible.items()
            if self.words.issuperset(words) and self.has_term(thing)
        ]

    def has_thing(self, thing: str) -> bool:
        """Whether something stands between blanks, and is no part of something longer."""
        return f" {thing} " in self.chunks

    @cached_property
    def written(self) -> str:
        """The text in one spelling."""
        return folded(self.text)

    @cached_property
    def flat(self) -> str:
        """Its words, with one blank between."""
        return f" {' '.join(spaced(self.written).split())} "

    @cached_property
    def digits(self) -> str:
        """Its long runs of digits, without the blanks and signs that stood in them."""
        return _runs_of_digits(self.flat)

    @cached_property
    def terms(self) -> frozenset[str]:
        """Its words and things."""
        return frozenset(_terms(self.written))

    @cached_property
    def chunks(self) -> str:
        """What stands between blanks, with one blank between."""
        return f" {' '.join(map(_bare, self.written.split()))} "

    @cached_property
    def joined(self) -> str:
        """Its words without what stands between them."""
        return self.flat.replace(" ", "")

    @cached_property
    def starts(self) -> "array[int]":
        """Where each word begins in `joined`, and where the last one ends."""
        return array("I", accumulate(map(len, self.flat.split()), initial=0))

    def place_of_word(self, number: int) -> int:
        """Where in the text the word with this number begins."""
        plain = spaced(self.written)
        rest = plain.split(None, number)[-1] if number else plain.lstrip()
        return place_before_folding(self.text, len(plain) - len(rest))


class Read(Searchable):
    """An earlier result in that form, with what the agent said to get it."""

    def __init__(self, earlier: Earlier, shelf: Shelf) -> None:
        super().__init__(earlier.result, shelf=shelf, is_partly_read=earlier.is_partly_read)
        self._case_id = earlier.case_id
        self._arguments = earlier.arguments

    @cached_property
    def asked(self) -> Searchable:
        """What the agent itself said in that call."""
        said = "\n".join(str(leaf.value) for leaf in leaves_of(self._arguments)[0])
        return Searchable(said, shelf=self.shelf.beside, depth=DEEPEST)

    @cached_property
    def orders(self) -> tuple[Order, ...]:
        """The passages that speak to the agent; looked for once."""
        from atlas.origins.orders import orders_in  # its expressions are made when a first text is read

        return orders_in(self.text, case_id=self._case_id)


_KEPT: dict[int, tuple["ref[Earlier]", Read]] = {}


def searchable(earlier: Sequence[Earlier]) -> list[Read]:
    """The searchable forms of earlier results; each is made once, and goes when its record goes.

    Results that are compared together share a shelf: a new one comes to the one before it.
    """
    made: list[Read] = []
    for one in earlier:
        kept = _KEPT.get(id(one))
        if kept is None or kept[0]() is not one:
            shelf = made[-1].shelf if made and made[-1].shelf.count < MOST_TEXTS else Shelf()
            kept = _KEPT[id(one)] = (ref(one, partial(_drop, id(one))), Read(one, shelf))
        made.append(kept[1])
    return made


def _drop(number: int, gone: "ref[Earlier]") -> None:
    kept = _KEPT.get(number)
    if kept is not None and kept[0] is gone:
        del _KEPT[number]


def _keep(known: dict[frozenset[str], Any], asked: frozenset[str], found: Any) -> None:
    if len(known) >= MOST_ASKED:
        known.clear()
    known[asked] = found


def _words_of(term: str) -> Sequence[str]:
    """The words without which no text holds a term: not the last of a date, since a time may stand behind."""
    if term.isalnum():
        return (term,)
    words = spaced(term).split()
    return words[:-1] if len(term) == 10 and term[4] == "-" else words


def _terms(written: str) -> set[str]:
    """The words of a folded text and its things of several words; a number in a thing is none of its own."""
    seen = set(written.split())
    joined = [thing for thing in seen if not thing.isalnum()]
    seen.difference_update(joined)
    bare = [thing.strip(JOINERS) for thing in joined]
    seen.update(bare)
    seen.update([thing[4:] for thing in bare if thing.startswith("www.")])
    seen.update([thing[:10] for thing in bare if thing[10:11] == "t" and thing[4] == "-"])
    lists = [thing for thing in bare if "," in thing and not _ONE_NUMBER.fullmatch(thing)]
    seen.update([part for thing in lists for part in _parts_of(thing)])
    seen.update([word for word in spaced(" ".join(bare)).split() if not word.isdigit()])
    seen.discard("")
    return seen


def _bare(chunk: str) -> str:
    return chunk.strip(JOINERS).removeprefix("www.")


def _parts_of(listed: str) -> Iterator[str]:
    yield from (part.strip(JOINERS) for part in listed.split(","))


def _runs_of_digits(flat: str) -> str:
    runs = flat.encode("utf-8", "replace").translate(_DIGITS, b" ").split()
    return " ".join([run.decode() for run in runs if len(run) >= LONG_RUN])
