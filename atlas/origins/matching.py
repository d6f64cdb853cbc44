"""Which of many texts hold a value, and how: whole, or only in part."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from math import ceil
from typing import NamedTuple

from atlas.origins.forms import Block, Phrase, Run, Wanted
from atlas.origins.searchable import Searchable, Shelf
from atlas.traces import How

SHORTEST_QUOTE = 40  # characters
FEWEST_RARE, SHARE = 4, 0.6  # rare words of a sentence that stand in one text
MOST_HITS = 3  # of the results in which a value stands, and as many from outside
MOST_TRIED = 8  # places at which a long text may repeat a passage


class Text(NamedTuple):
    """A text that is searched: an earlier result, or what stands in it behind an encoding."""

    place: int  # of the result
    form: Searchable
    is_inner: bool = False


class Hit(NamedTuple):
    """A value stands in a text."""

    text: Text
    how: How
    form: str  # what stands there: a thing, words between blanks, or a run


class Texts:
    """Some texts that are searched together, in the order of the results."""

    def __init__(self, forms: Sequence[Searchable], is_outside: Sequence[bool] = ()) -> None:
        self._forms = forms
        groups: dict[Shelf, _Group] = {}
        group = None
        for place, form in enumerate(forms):
            if group is None or form.shelf is not group.shelf:
                group = groups.setdefault(form.shelf, _Group(form.shelf))
            group.places.setdefault(form.bit, place)
            if form.decoded:
                _put_inner(Text(place, form), groups)
        for group in groups.values():
            group.close(is_outside)
        self._groups = tuple(groups.values())

    @cached_property
    def all(self) -> list[Text]:
        """All of them, and what stands in them behind an encoding."""
        outer = [Text(place, form) for place, form in enumerate(self._forms)]
        return outer + [inner for text in outer if text.form.decoded for inner in _inner_of(text)]

    def with_all(self, words: frozenset[str]) -> list[Text]:
        """The texts that hold all of some words."""
        return [
            self._text(group, bit)
            for group in self._groups
            if (holding := group.mask & group.shelf.with_all(words))
            for bit in _bits(holding)
        ]

    def with_any(self, things: frozenset[str], *, is_cut: bool = False) -> list[tuple[Text, str]]:
        """The texts that hold some things, with each of these that they hold; cut: only those that count."""
        return [
            (self._text(group, bit), thing)
            for group in self._groups
            for thing, holding in group.shelf.with_any(things).items()
            for bit in _bits(group.first(group.mask & holding) if is_cut else group.mask & holding)
        ]

    def _text(self, group: "_Group", bit: int) -> Text:
        if bit in group.inner:
            return group.inner[bit]
        place = group.places[bit]
        return Text(place, self._forms[place])

    def with_some(self, terms: frozenset[str]) -> list[tuple[Text, frozenset[str]]]:
        """The texts that hold some of these words, with those that they hold."""
        if not any(terms & group.shelf.words for group in self._groups):
            return []
        return [(text, held) for text in self.all if (held := terms & text.form.words)]


def _inner_of(text: Text) -> Iterator[Text]:
    for form in text.form.decoded:
        inner = Text(text.place, form, is_inner=True)
        yield inner
        yield from _inner_of(inner)


def _put_inner(text: Text, groups: "dict[Shelf, _Group]") -> None:
    for inner in _inner_of(text):
        shelf = inner.form.shelf
        groups.setdefault(shelf, _Group(shelf)).inner[inner.form.bit] = inner


class _Group:
    """Those of the texts that are on one shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.places: dict[int, int] = {}  # by the bit of each text
        self.inner: dict[int, Text] = {}
        self.mask = self.outside = 0
        self.is_ordered = False

    def close(self, is_outside: Sequence[bool]) -> None:
        """Make what is asked for out of what was put in."""
        self.mask = sum(self.places) + sum(self.inner)
        if is_outside:
            self.outside = sum(bit for bit, place in self.places.items() if is_outside[place])
            self.is_ordered = not self.inner and list(self.places) == sorted(self.places)

    def first(self, mask: int) -> int:
        """The earliest of some texts, and the earliest of those from outside; no others are shown."""
        return _lowest(mask) | _lowest(mask & self.outside) if self.is_ordered else mask


def _lowest(mask: int) -> int:
    low = 0
    for bit in islice(_bits(mask), MOST_HITS):
        low |= bit
    return low


def _bits(mask: int) -> Iterator[int]:
    while mask:
        bit = mask & -mask
        mask ^= bit
        yield bit


def whole_in(value: Wanted, texts: Texts) -> list[Hit]:
    """The texts in which all of a value stands, by their order."""
    hits = _plain(value, texts)
    if not hits and value.turned is not None:
        hits = [Hit(text, How.DECODED, value.turned.flat) for text in _with(value.turned, texts)]
    if not hits:
        hits = [Hit(hit.text, How.DECODED, hit.form) for inner in value.inner for hit in _plain(inner, texts)]
    return _one_each(hits)


def plain_in(value: Wanted, texts: Texts) -> list[Hit]:
    """The texts in which all of a value stands as it is written, by their order."""
    return _one_each(_plain(value, texts))


def parts_in(value: Wanted, texts: Texts) -> list[Hit]:
    """The texts in which a part of a value stands that says something, by their order."""
    hits = _pieces(value, texts)
    hits += [Hit(hit.text, How.ASSEMBLED, hit.form) for part in value.parts for hit in _plain(part, texts)]
    return _one_each(hits + _sentence(value, texts))


def _one_each(hits: Sequence[Hit]) -> list[Hit]:
    first: dict[int, Hit] = {}
    for hit in hits:
        known = first.get(hit.text.place)
        if known is None or _RANK[hit.how] < _RANK[known.how]:
            first[hit.text.place] = hit
    return [first[place] for place in sorted(first)]


_RANK = {
    how: rank for rank, how in enumerate((How.EXACT, How.NORMALISED, How.DECODED, How.QUOTED, How.ASSEMBLED))
}


def _plain(value: Wanted, texts: Texts) -> list[Hit]:
    found = texts.with_any(value.things, is_cut=not value.also) if value.things else []
    for phrase in value.phrases:
        found += [(text, phrase.flat) for text in texts.with_all(phrase.needs) if _holds(text.form, phrase)]
    for run in value.runs:
        chosen = [text for text in texts.all if run.digits in text.form.digits]
        found += [(text, run.whole) for text in chosen if place_of_run(run, text.form) is not None]
    return [
        Hit(text, How.DECODED if text.is_inner else How.NORMALISED, form)
        for text, form in found
        if not value.also or f" {value.also}" in text.form.flat or f"t{value.also}" in text.form.flat
    ]


def _holds(form: Searchable, phrase: Phrase) -> bool:
    """Whether a text with all the words of a phrase has them one after the other."""
    if phrase.is_thing:
        return form.has_thing(phrase.flat.strip())
    if phrase.is_number:
        return _stands_alone(phrase.flat, form.flat) and form.has_term(phrase.flat.split()[0])
    if phrase.flat not in form.flat:
        return False
    return not all(map(str.isdigit, phrase.needs)) or all(map(form.has_term, phrase.needs))


def _stands_alone(number: str, flat: str) -> bool:
    """Whether a number with blanks in it is not the beginning or the end of a longer one."""
    at = flat.find(number)
    while at >= 0:
        before, after = flat[:at].rpartition(" ")[2], flat[at + len(number) :].partition(" ")[0]
        if not before.isdigit() and not after.isdigit():
            return True
        at = flat.find(number, at + 1)
    return False


def place_of_run(run: Run, form: Searchable) -> int | None:
    """The number of the word in which a run begins, if it stands there between borders of words."""
    joined = form.flat.replace(" ", "")
    found = joined.find(run.whole)
    if found < 0:
        return None
    words = form.flat.split()
    starts, at = {}, 0
    for number, word in enumerate(words):
        starts[at] = number
        at += len(word)
    starts[at] = len(words)
    while found >= 0:
        before = next((back for back in range(run.before + 1) if found - back in starts), None)
        if (
            found + len(run.whole) in starts
            and before is not None
            and joined[found - before : found + 1].isalnum()
        ):
            return starts[found - before]
        found = joined.find(run.whole, found + 1)
    return None


def _pieces(value: Wanted, texts: Texts) -> list[Hit]:
    if not value.pieces:
        return []
    holding = [_with(piece, texts) for piece in value.pieces]
    if not all(holding):
        return []
    together = set(holding[0]).intersection(*holding[1:])
    if together:
        return [Hit(text, How.ASSEMBLED, value.pieces[-1].flat) for text in together]
    first = [next(iter(found)) for found in holding]
    return [Hit(text, How.ASSEMBLED, piece.flat) for piece, text in zip(value.pieces, first, strict=True)]


def _with(phrase: Phrase, texts: Texts) -> list[Text]:
    return [text for text in texts.with_all(phrase.needs) if _holds(text.form, phrase)]


def _sentence(value: Wanted, texts: Texts) -> list[Hit]:
    if len(value.words) < FEWEST_RARE:
        return []
    blocks, words = value.blocks, value.words
    fewest = max(FEWEST_RARE, ceil(SHARE * len(blocks)))
    holding: dict[Block, list[Text]] = {}
    hits = []
    for text, held in texts.with_some(frozenset(blocks)):
        for word in held:
            block = blocks[word]
            if text.form.words.issuperset(words[block.first : block.last]):
                holding.setdefault(block, []).append(text)
        if len(held) >= fewest:
            word = next(word for word in blocks if word in held)
            hits.append(Hit(text, How.ASSEMBLED, f" {word} "))
    return [*_quoted(value, holding), *hits]


def _quoted(value: Wanted, holding: dict[Block, list[Text]]) -> Iterator[Hit]:
    """The texts that repeat a passage, of those that hold the words of a block; the rarest blocks first."""
    rarest = sorted(holding.items(), key=lambda pair: (len(pair[1]), pair[0]))
    tried = ((text, block) for block, found in rarest for text in found)
    for text, block in islice(tried, MOST_TRIED):
        if quoted := _quote(value, block, text):
            yield Hit(text, How.QUOTED, quoted)


def _quote(value: Wanted, block: Block, text: Text) -> str | None:
    """The passage of at least 40 characters around a block that stands in a text."""
    flat, words = text.form.flat, value.words
    first, last = block.first, min(block.last, len(words))
    if f" {' '.join(words[first:last])} " not in flat:
        return None
    while first > 0 and f" {' '.join(words[first - 1 : last])} " in flat:
        first -= 1
    while last < len(words) and f" {' '.join(words[first : last + 1])} " in flat:
        last += 1
        if len(passage := f" {' '.join(words[first:last])} ") >= 2 * SHORTEST_QUOTE:
            return passage
    passage = f" {' '.join(words[first:last])} "
    return passage if len(passage) - 2 >= SHORTEST_QUOTE else None
