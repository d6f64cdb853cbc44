"""Which of many texts hold a value, and how: whole, or only in part."""

from bisect import bisect_left, bisect_right
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
MOST_LOOKS = 10_000  # into the texts, and at places in them, for all values of a call together
LONG = 5000  # characters of a text that make one look more


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


class Looks:
    """How often texts may still be looked at for one call: an agent and a text can be made for each other."""

    def __init__(self) -> None:
        self._left = MOST_LOOKS

    @property
    def are_enough(self) -> bool:
        """Whether no look had to be left out."""
        return self._left >= 0

    def one_more(self, text: str = "") -> bool:
        """Take one, or more where all of a long text is looked through; False where there is none left."""
        self._left -= 1 + len(text) // LONG
        return self._left >= 0


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
        self.looks = Looks()
        self._holding: dict[Phrase | Run, list[Text]] = {}

    def with_phrase(self, phrase: Phrase) -> list[Text]:
        """The texts in which the words of a phrase stand one after the other; looked for once."""
        if phrase not in self._holding:
            chosen = self.with_all(phrase.needs)
            self._holding[phrase] = [text for text in chosen if _holds(text.form, phrase, self.looks)]
        return self._holding[phrase]

    def with_run(self, run: Run) -> list[Text]:
        """The texts in which a run stands between borders of words; looked for once."""
        if run not in self._holding:
            self._holding[run] = [text for text in self.all if _has_run(text.form, run, self.looks)]
        return self._holding[run]

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
        hits = [Hit(text, How.DECODED, value.turned.flat) for text in texts.with_phrase(value.turned)]
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
        found += [(text, phrase.flat) for text in texts.with_phrase(phrase)]
    for run in value.runs:
        found += [(text, run.whole) for text in texts.with_run(run)]
    return [
        Hit(text, How.DECODED if text.is_inner else How.NORMALISED, form)
        for text, form in found
        if not value.also or f" {value.also}" in text.form.flat or f"t{value.also}" in text.form.flat
    ]


def _holds(form: Searchable, phrase: Phrase, looks: Looks) -> bool:
    """Whether a text with all the words of a phrase has them one after the other."""
    if not looks.one_more(form.flat):
        return False
    if phrase.is_thing:
        return form.has_thing(phrase.flat.strip())
    if phrase.is_number:
        return _stands_alone(phrase.flat, form.flat, looks) and form.has_term(phrase.flat.split()[0])
    if phrase.flat not in form.flat:
        return False
    return not all(map(str.isdigit, phrase.needs)) or all(map(form.has_term, phrase.needs))


def _stands_alone(number: str, flat: str, looks: Looks) -> bool:
    """Whether a number with blanks in it is not the beginning or the end of a longer one."""
    at = flat.find(number)
    while at >= 0 and looks.one_more():
        end = at + len(number)
        before, after = flat[flat.rfind(" ", 0, at) + 1 : at], flat[end : flat.find(" ", end)]
        if not before.isdigit() and not after.isdigit():
            return True
        at = flat.find(number, at + 1)
    return False


def _has_run(form: Searchable, run: Run, looks: Looks) -> bool:
    if not form.digits or not looks.one_more(form.digits) or run.digits not in form.digits:
        return False
    return place_of_run(run, form, looks) is not None


def place_of_run(run: Run, form: Searchable, looks: Looks) -> int | None:
    """The number of the word in which a run begins, if it stands there between borders of words."""
    joined, starts = form.joined, form.starts
    found = joined.find(run.whole)
    while found >= 0 and looks.one_more():
        number = bisect_right(starts, found) - 1
        before, end = found - starts[number], found + len(run.whole)
        is_at_border = starts[bisect_left(starts, end)] == end and before <= run.before
        if is_at_border and joined[found - before : found + 1].isalnum():
            return number
        found = joined.find(run.whole, found + 1 if before < run.before else starts[number + 1])
    return None


def _pieces(value: Wanted, texts: Texts) -> list[Hit]:
    if not value.pieces:
        return []
    holding = [texts.with_phrase(piece) for piece in value.pieces]
    if not all(holding):
        return []
    together = set(holding[0]).intersection(*holding[1:])
    if together:
        return [Hit(text, How.ASSEMBLED, value.pieces[-1].flat) for text in together]
    first = [next(iter(found)) for found in holding]
    return [Hit(text, How.ASSEMBLED, piece.flat) for piece, text in zip(value.pieces, first, strict=True)]


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
