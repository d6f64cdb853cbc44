"""The form of a text in which values are looked for: made once for each earlier result, and kept with it."""

import re
from functools import cached_property, partial
from weakref import ref

from atlas.assessors import Earlier
from atlas.origins.decoding import Decoded, decoded
from atlas.origins.folding import folded, place_before_folding, spaced
from atlas.origins.leaves import leaves_of
from atlas.origins.orders import orders_in
from atlas.traces import Order

MOST_CHARACTERS = 100_000  # of one text; the rest is not compared
LONG_RUN = 7  # digits that say something without their blanks, such as those of a phone or an account
DEEPEST = 2  # encodings inside one another

_NUMBER_LIST = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+,\d{1,2}")  # is no list, but one number
_ONLY_NUMBERS = re.compile(r"[\d.,-]+")
_INNER = re.compile(r"[,:;=?&#]+")
_DIGITS = bytes(code if chr(code).isdigit() and code < 128 else ord(" ") for code in range(256))


class Searchable:
    """A text as words, as whole things such as addresses, and as runs of digits.

    It costs about 30 µs and 15 KB for each 1 KB of text. `size` says roughly how many bytes it holds.
    """

    def __init__(self, text: str, *, is_partly_read: bool = False, depth: int = 0) -> None:
        self.is_partly_read = is_partly_read or len(text) > MOST_CHARACTERS
        self.text = text = text[:MOST_CHARACTERS]
        written = folded(text)
        self.things = _things(written)
        words = spaced(written).split()
        self.words = frozenset(words)
        self.flat = f" {' '.join(words)} "
        self.digits = _runs_of_digits(self.flat)
        behind = decoded(text) if depth < DEEPEST else Decoded((), True)
        self.decoded = tuple(Searchable(inner, depth=depth + 1) for inner in behind.texts)
        self.is_partly_read |= not behind.is_whole or any(inner.is_partly_read for inner in self.decoded)

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        own = 2 * len(self.text) + len(self.flat) + 120 * (len(self.words) + len(self.things))
        return own + sum(inner.size for inner in self.decoded)

    def place_of_word(self, number: int) -> int:
        """Where in the text the word with this number begins."""
        plain = spaced(folded(self.text))
        rest = plain.split(None, number)[-1] if number else plain.lstrip()
        return place_before_folding(self.text, len(plain) - len(rest))


class Read(Searchable):
    """An earlier result in that form, with what in it speaks to the agent."""

    def __init__(self, earlier: Earlier) -> None:
        super().__init__(earlier.result, is_partly_read=earlier.is_partly_read)
        self._case_id = earlier.case_id
        self._arguments = earlier.arguments

    @cached_property
    def asked(self) -> Searchable:
        """What the agent itself said in that call, in the same form."""
        return Searchable("\n".join(str(leaf.value) for leaf in leaves_of(self._arguments)[0]), depth=DEEPEST)

    @cached_property
    def orders(self) -> tuple[Order, ...]:
        """The passages that speak to the agent; looked for once."""
        return orders_in(self.text, case_id=self._case_id)


_KEPT: dict[int, tuple["ref[Earlier]", Read]] = {}


def searchable(earlier: Earlier) -> Read:
    """The searchable form of an earlier result; it is made once, and goes when the record goes."""
    kept = _KEPT.get(id(earlier))
    if kept is not None and kept[0]() is earlier:
        return kept[1]
    made = Read(earlier)
    _KEPT[id(earlier)] = (ref(earlier, partial(_drop, id(earlier))), made)
    return made


def _drop(number: int, gone: "ref[Earlier]") -> None:
    kept = _KEPT.get(number)
    if kept is not None and kept[0] is gone:
        del _KEPT[number]


def _things(written: str) -> frozenset[str]:
    """What stands between blanks: words, and things of several words with the parts they are whole in."""
    seen = set(written.split())
    joined = [thing for thing in seen if not thing.isalnum()]
    seen.difference_update(joined)
    for thing in joined:
        bare = thing.strip("@.,'-_+/:%&=#~?")
        seen.add(bare)
        if not bare.isalnum():
            seen.update(_parts_of(bare))
    return frozenset(seen)


def _parts_of(thing: str) -> list[str]:
    """What is whole inside a thing, such as an address behind mailto:, or the day of an instant."""
    if _ONLY_NUMBERS.fullmatch(thing):
        return thing.split(",") if "," in thing and not _NUMBER_LIST.fullmatch(thing) else []
    parts = [part.strip(".'-_+/~") for part in _INNER.split(thing)]
    if "/" in thing:
        parts.append(without_scheme(thing))
    if thing[10:11] == "t" and thing[4] == thing[7] == "-":
        parts.append(thing[:10])
    return parts


def without_scheme(address: str) -> str:
    """A URL without its scheme, `www.` and the slash at its end."""
    return address.split("://", 1)[-1].removeprefix("www.").rstrip("/")


def _runs_of_digits(flat: str) -> str:
    runs = flat.encode("utf-8", "replace").translate(_DIGITS, b" ").split()
    return " ".join(run.decode() for run in runs if len(run) >= LONG_RUN)
