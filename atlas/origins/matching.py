"""Which of many texts hold a value, and how: whole, or only in part."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from math import ceil
from typing import NamedTuple

from atlas.origins.forms import Block, Phrase, Run, Wanted
from atlas.origins.searchable import Searchable, Shelf
from atlas.traces import How

SHORTEST_QUOTE = 40  # characters
FEWEST_RARE, SHARE = 4, 0.6  # rare words of a sentence that stand in one text
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

    def __init__(self, forms: Sequence[Searchable]) -> None:
        self.all = [Text(place, form) for place, form in enumerate(forms)]
        self.all += [inner for text in self.all if text.form.decoded for inner in _inner_of(text)]
        on: dict[Shelf, dict[int, Text]] = {}  # by the bit of each
        for text in self.all:
            on.setdefault(text.form.shelf, {}).setdefault(text.form.bit, text)
        self._shelves = [(shelf.holders, sum(texts), texts) for shelf, texts in on.items()]
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

    def with_all(self, terms: Collection[str]) -> list[Text]:
        """The texts that hold all of some terms."""
        found: list[Text] = []
        for holders, mask, texts in self._shelves:
            for term in terms:
                mask &= holders.get(term, 0)
                if not mask:
                    break
            found += _chosen(texts, mask)
        return found

    def with_most(self, terms: Collection[str], share: float) -> list[Text]:
        """The texts that hold a share of some terms, and at least four."""
        fewest = max(FEWEST_RARE, ceil(share * len(terms)))
        found: list[Text] = []
        for holders, all_of_them, texts in self._shelves:
            counts = [0] * fewest.bit_length() + [0]  # the digits of the count of each text, as bits
            for term in terms:
                carried = holders.get(term, 0)
                for digit, count in enumerate(counts):
                    if not carried:
                        break
                    counts[digit], carried = count ^ carried, count & carried
                counts[-1] |= carried
            found += _chosen(texts, _at_least(fewest, counts, all_of_them))
        return found


def _inner_of(text: Text) -> Iterator[Text]:
    for form in text.form.decoded:
        inner = Text(text.place, form, is_inner=True)
        yield inner
        yield from _inner_of(inner)


def _at_least(fewest: int, counts: Sequence[int], mask: int) -> int:
    more, same = 0, mask
    for digit in reversed(range(len(counts))):
        if fewest >> digit & 1:
            same &= counts[digit]
        else:
            more, same = more | same & counts[digit], same & ~counts[digit]
    return more | same


def _chosen(texts: dict[int, Text], mask: int) -> Iterator[Text]:
    while mask:
        bit = mask & -mask
        mask ^= bit
        yield texts[bit]


def whole_in(value: Wanted, texts: Texts) -> list[Hit]:
    """The texts in which all of a value stands, by their order."""
    hits = _plain(value, texts)
    if not hits and value.turned is not None:
        hits = [Hit(text, How.DECODED, value.turned.flat) for text in texts.with_phrase(value.turned)]
    if not hits:
        hits = [Hit(hit.text, How.DECODED, hit.form) for inner in value.inner for hit in _plain(inner, texts)]
    return _one_each(hits)


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
    found = [(text, thing) for thing in value.things for text in texts.with_all((thing,))]
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
    return _stands_alone(phrase.flat, form.flat, looks) if phrase.is_number else phrase.flat in form.flat


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
    holding = [(texts.with_all(value.words[one.first : one.last]), one) for one in value.blocks.values()]
    tried = [(text, one) for found, one in sorted(holding, key=lambda pair: len(pair[0])) for text in found]
    hits = [
        Hit(text, How.QUOTED, quoted)
        for text, one in tried[:MOST_TRIED]
        if (quoted := _quote(value, one, text))
    ]
    for text in texts.with_most(value.blocks, SHARE):
        word = next(word for word in value.blocks if f" {word} " in text.form.flat)
        hits.append(Hit(text, How.ASSEMBLED, f" {word} "))
    return hits


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
