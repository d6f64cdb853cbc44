"""The form of a text in which values are looked for: made once for each earlier result, and kept with it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from weakref import ref

from atlas.assessors import Earlier
from atlas.origins.decoding import Decoded, decoded
from atlas.origins.folding import JOINERS, folded, place_before_folding, spaced
from atlas.origins.leaves import leaves_of
from atlas.origins.orders import orders_in
from atlas.traces import Order

MOST_CHARACTERS = 100_000  # of one text; the rest is not compared
LONG_RUN = 7  # digits that say something without their blanks, such as those of a phone or an account
DEEPEST = 2  # encodings inside one another
MOST_TEXTS = 100  # of one shelf

_ONE_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+,\d{1,2}")
_DIGITS = bytes(code if chr(code).isdigit() and code < 128 else ord(" ") for code in range(256))


class Shelf:
    """Which of some texts hold a term: a word, or a whole thing such as an address.

    One look here takes the place of one look into each text.
    """

    def __init__(self) -> None:
        self.holders: dict[str, int] = {}  # each text is one bit
        self.count = 0

    @cached_property
    def beside(self) -> "Shelf":
        """The shelf for what the agent itself said."""
        return Shelf()

    def put(self, terms: Iterable[str]) -> int:
        """Put a text on the shelf; its bit."""
        bit = 1 << self.count
        self.count += 1
        holders = self.holders
        known = holders.get
        for term in terms:
            holders[term] = known(term, 0) | bit
        return bit


class Searchable:
    """A text as words, as whole things such as addresses, and as runs of digits.

    `size` says roughly how many bytes it holds; the terms on its shelf are counted in it.
    """

    def __init__(
        self, text: str, *, shelf: Shelf | None = None, is_partly_read: bool = False, depth: int = 0
    ) -> None:
        self.is_partly_read = is_partly_read or len(text) > MOST_CHARACTERS
        self.text = text = text[:MOST_CHARACTERS]
        self.shelf = shelf or Shelf()
        written = folded(text)
        self.flat = f" {' '.join(spaced(written).split())} "
        self.digits = _runs_of_digits(self.flat)
        terms = _terms(written)
        self.bit = self.shelf.put(terms)
        behind = decoded(text) if depth < DEEPEST else Decoded((), True)
        self.decoded = tuple(Searchable(inner, shelf=shelf, depth=depth + 1) for inner in behind.texts)
        self.is_partly_read |= not behind.is_whole or any(inner.is_partly_read for inner in self.decoded)
        self.size: int = (
            2 * len(text) + len(self.flat) + 100 * len(terms) + sum(one.size for one in self.decoded)
        )

    def has_thing(self, thing: str) -> bool:
        """Whether something stands between blanks, and is no part of something longer."""
        return f" {thing} " in self.chunks

    @cached_property
    def chunks(self) -> str:
        """What stands between blanks, with one blank between."""
        return f" {' '.join(_bare(chunk) for chunk in folded(self.text).split())} "

    def place_of_word(self, number: int) -> int:
        """Where in the text the word with this number begins."""
        plain = spaced(folded(self.text))
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
