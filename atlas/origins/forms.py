"""What is looked for when a value of the arguments is: every way in which a text may write it."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from atlas.origins.common import HOSTS, WORDS
from atlas.origins.decoding import decoded
from atlas.origins.folding import JOINERS, folded, spaced
from atlas.origins.numbers import as_date, as_number, phone_digits, ways_to_write, ways_to_write_a_day
from atlas.origins.searchable import LONG_RUN

SHORTEST_WORD = 4  # letters and digits of a value that says something about where it came from
RARE_LETTERS = 5  # of a word by which a sentence is found
MOST_BLOCKS = 32  # of a long text
BLOCK = 20  # characters
MOST_PARTS = 10  # addresses inside a text
LONGEST, LONGEST_CODED, LONGEST_RUN = 10_000, 4_000, 60  # characters
MOST_BITS = 512  # of a whole number
FIGURES = 3  # of a number that says something
SENTENCE = 6  # words that say something though each of them is common

_MAIL = re.compile(r"[^\s@<>(),;:\"]{1,64}@[^\s@<>(),;:\"]{1,250}\.[^\s@<>(),;:\"]{2,63}")
_ADDRESS = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"
    r"|https?://[^\s\"'<>|)\]]{3,300}|\bwww\.[^\s\"'<>|)\]]{3,300}"
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"
    r"|\b0x[0-9a-fA-F]{16,64}\b|\+\d[\d ()-]{6,18}\d"
)
_LIST = re.compile(r"[,;\s]+")
_SCHEME = re.compile(r"^(?:[A-Za-z]{2,8}://)?(?:[Ww]{3}\.)?")
_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
_FIGURES = re.compile(r"\d\d")
_DIGITS = re.compile(r"\d+")


class Phrase(NamedTuple):
    """Words that stand one after the other."""

    flat: str  # with a blank on each side
    needs: frozenset[str]  # the words that a text with it has
    is_number: bool = False  # whether it may not be the beginning or the end of a longer number
    is_thing: bool = False  # whether it stands alone, and not in something longer


class Run(NamedTuple):
    """Letters and digits that may stand with blanks and signs between them."""

    digits: str  # by which texts are chosen
    whole: str
    before: int = 0  # other digits that may stand before it


class Block(NamedTuple):
    """A rare word of a text and the words behind it, by which a passage of it is found."""

    first: int  # the number of its first word
    last: int


@dataclass(eq=False)
class Wanted:
    """A value of the arguments in all the forms that are looked for."""

    said: str
    things: frozenset[str] = frozenset()
    phrases: tuple[Phrase, ...] = ()
    runs: tuple[Run, ...] = ()
    also: str = ""  # the time of a day, which stands in the text too
    parts: tuple["Wanted", ...] = ()  # the addresses in it
    pieces: tuple[Phrase, ...] = ()  # the halves of an address, which may stand apart
    is_list: bool = False  # whether it is its parts and nothing else
    chunks: str = ""  # whole things, one after the other
    words: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def ways(self) -> int:
        """How many forms of it are looked for: about 60 of a date, and 18 of a number."""
        inner = sum(part.ways for part in self.parts)
        return 1 + len(self.things) + len(self.phrases) + len(self.runs) + len(self.pieces) + inner

    @cached_property
    def turned(self) -> Phrase | None:
        """What it reads as in rot13."""
        flat = " ".join(self.words).translate(_ROT13) if len(self.words) <= SENTENCE else ""
        return _phrase(flat) if len(flat) >= 6 and flat.isascii() else None

    @cached_property
    def inner(self) -> tuple["Wanted", ...]:
        """What stands in it behind an encoding, or behind two."""
        texts = decoded(self.said[:LONGEST_CODED]).texts
        texts += tuple(deeper for text in texts for deeper in decoded(text).texts)
        lines = [line for text in texts for line in text.split("\n")[:MOST_PARTS]]
        return tuple(found for line in lines if (found := wanted(line)) is not None)

    @cached_property
    def blocks(self) -> dict[str, Block]:
        """Its rare words, each with what follows; of a long text 32, evenly spread."""
        rare = [at for at, word in enumerate(self.words) if len(word) >= RARE_LETTERS and word not in WORDS]
        step = max(1, -(-len(rare) // MOST_BLOCKS))
        return {self.words[at]: Block(at, self._end(at)) for at in rare[::step]}

    def _end(self, at: int) -> int:
        letters = list(accumulate(len(word) + 1 for word in self.words[at : at + BLOCK]))
        return at + min(bisect_left(letters, BLOCK) + 1, len(letters))


def wanted(value: Any) -> Wanted | None:
    """What is looked for; None for a value that says nothing about where it came from (`values.find`)."""
    if isinstance(value, int) and (isinstance(value, bool) or value.bit_length() > MOST_BITS):
        return None
    return _wanted(value) if isinstance(value, str | int | float) else None


@lru_cache(maxsize=512, typed=True)  # agents repeat themselves
def _wanted(value: str | int | float) -> Wanted | None:
    said = str(value)[:LONGEST].strip()
    day = as_date(said)
    if day is not None:
        return _day(said, *day)
    number = as_number(value)
    return _text(said) if number is None else _number(said, number)


def _number(said: str, number: Decimal) -> Wanted | None:
    if len(f"{number.normalize():f}".replace(".", "").lstrip("0")) < FIGURES or number == 100:
        return None
    things, blanks = ways_to_write(number)
    phrases = tuple(Phrase(f" {one} ", frozenset(one.split()), is_number=True) for one in blanks)
    return Wanted(
        said, things=things | {_bare(said)}, phrases=phrases, runs=_runs(said), chunks=f" {_bare(said)} "
    )


def _day(said: str, day: date, time: str) -> Wanted:
    things, texts = ways_to_write_a_day(day)
    phrases = tuple(map(_phrase, texts))
    return Wanted(
        said, things=things, phrases=phrases, also=time.replace(":", " "), chunks=f" {_bare(said)} "
    )


def _text(said: str) -> Wanted | None:
    written = folded(_SCHEME.sub("", said))
    chunks = [bare for chunk in written.split() if (bare := chunk.strip(JOINERS))]
    words = tuple(spaced(written).split())
    if _is_common(words):
        return None
    parts = _addresses_in(said) if len(words) > 2 else ()
    made = Wanted(
        said,
        things=frozenset(chunks if len(chunks) == 1 else ()),
        phrases=() if _MAIL.fullmatch(said) else (_phrase(" ".join(words)),),
        runs=_runs(said),
        parts=() if parts == (said,) else tuple(filter(None, map(_text, parts))),
        is_list=len(parts) > 1 and not _LIST.sub("", _ADDRESS.sub("", said[:LONGEST_CODED])),
        chunks=f" {' '.join(chunks)} ",
        words=words,
    )
    return _address(made, chunks[0])


def _addresses_in(said: str) -> tuple[str, ...]:
    said = said[:LONGEST_CODED]
    if "@" in said or "://" in said or "www." in said or _FIGURES.search(said):
        return tuple(dict.fromkeys(_ADDRESS.findall(said)))[:MOST_PARTS]
    return ()


def _is_common(words: tuple[str, ...]) -> bool:
    """Whether a text is too short, or has only words that stand everywhere."""
    letters = sum(map(len, words))
    if letters < (SHORTEST_WORD if "".join(words).isascii() else SHORTEST_WORD // 2):
        return True
    return len(words) < SENTENCE and all(
        word in WORDS or (len(word) < 3 and word.isascii()) for word in words
    )


def _address(made: Wanted, chunk: str) -> Wanted:
    """A mail address with its two halves, or a URL with its host, since they may stand apart."""
    if _MAIL.fullmatch(made.said):
        local, _, domain = chunk.rpartition("@")
        spelled = _phrase(spaced(chunk.replace("@", " at ").replace(".", " dot ")))
        is_known = local in WORDS or len(local) < 3
        name = _phrase(spaced(local))._replace(is_thing=local.isalnum())
        made.phrases, made.pieces = (spelled,), () if is_known else (name, _phrase(spaced(domain)))
        return made
    host = chunk.split("/")[0]
    if "://" in made.said[:10] and made.chunks.strip() != host and "." in host and host not in HOSTS:
        made.pieces = (_phrase(spaced(host)),)
    return made


def _runs(said: str) -> tuple[Run, ...]:
    if len(said) > LONGEST_RUN:
        return ()
    phone = phone_digits(said)
    if phone:
        return tuple(Run(digits, digits, before) for digits, before in phone if len(digits) >= LONG_RUN)
    whole = spaced(folded(said)).replace(" ", "")
    digits = max(_DIGITS.findall(whole), key=len, default="")
    return (Run(digits, whole),) if len(digits) >= LONG_RUN and 2 * len(digits) >= len(whole) else ()


def _phrase(text: str) -> Phrase:
    words = text.split()
    return Phrase(f" {' '.join(words)} ", frozenset(words))


def _bare(said: str) -> str:
    return " ".join(chunk.strip(JOINERS) for chunk in folded(said).split())
