"""Which of many texts hold a value, and how: whole, or only in part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atlas.origins.forms import Block, Phrase, Run, Wanted
from atlas.origins.searchable import Searchable
from atlas.traces import How

SHORTEST_QUOTE = 40  # characters
FEWEST_RARE, SHARE = 4, 0.6  # rare words of a sentence that stand in one text
MOST_BLOCKS_TRIED = 8  # of one text


@dataclass(frozen=True)
class Text:
    """A text that is searched: an earlier result, or what stands in it behind an encoding."""

    place: int  # of the result
    form: Searchable
    is_inner: bool = False


@dataclass(frozen=True)
class Hit:
    """A value stands in a text."""

    text: Text
    how: How
    form: str  # what stands there: a thing, words between blanks, or a run

    @property
    def is_weak(self) -> bool:
        """Whether only a part of the value stands there."""
        return self.how in (How.ASSEMBLED, How.QUOTED)


def texts_of(forms: Sequence[Searchable]) -> tuple[Text, ...]:
    """All texts that are searched, in the order of the results."""
    return tuple(
        text for place, form in enumerate(forms) for text in _with_inner(place, form, is_inner=False)
    )


def _with_inner(place: int, form: Searchable, *, is_inner: bool) -> Iterator[Text]:
    yield Text(place, form, is_inner)
    for inner in form.decoded:
        yield from _with_inner(place, inner, is_inner=True)


def whole_in(value: Wanted, texts: Sequence[Text]) -> list[Hit]:
    """The texts in which all of a value stands, by their order."""
    hits = _plain(value, texts)
    if not hits and value.turned is not None:
        hits = [
            Hit(text, How.DECODED, value.turned.flat) for text in texts if _holds(text.form, value.turned)
        ]
    if not hits:
        hits = [Hit(hit.text, How.DECODED, hit.form) for inner in value.inner for hit in _plain(inner, texts)]
    return _one_each(hits)


def parts_in(value: Wanted, texts: Sequence[Text]) -> list[Hit]:
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


def _plain(value: Wanted, texts: Sequence[Text]) -> list[Hit]:
    things = value.things
    found = [(text, "") for text in texts if not things.isdisjoint(text.form.things)] if things else []
    for phrase in value.phrases:
        needs = phrase.needs
        chosen = [text for text in texts if needs <= text.form.words]
        found += [(text, phrase.flat) for text in chosen if _holds(text.form, phrase)]
    for run in value.runs:
        digits = run.digits
        chosen = [text for text in texts if digits in text.form.digits]
        found += [(text, run.whole) for text in chosen if place_of_run(run, text.form) is not None]
    return [
        Hit(text, How.DECODED if text.is_inner else How.NORMALISED, form or _thing(value, text.form))
        for text, form in found
        if not value.also or f" {value.also}" in text.form.flat or f"t{value.also}" in text.form.flat
    ]


def _thing(value: Wanted, form: Searchable) -> str:
    return max(value.things & form.things, key=len)


def _holds(form: Searchable, phrase: Phrase) -> bool:
    if phrase.is_thing:
        return phrase.needs <= form.things
    if phrase.is_number:
        return phrase.needs <= form.words and _stands_alone(phrase.flat, form.flat)
    return phrase.needs <= form.words and phrase.flat in form.flat


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
    words = form.flat.split()
    joined = "".join(words)
    starts, at = {}, 0
    for number, word in enumerate(words):
        starts[at] = number
        at += len(word)
    starts[at] = len(words)
    found = joined.find(run.whole)
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


def _pieces(value: Wanted, texts: Sequence[Text]) -> list[Hit]:
    if not value.pieces:
        return []
    holding = [[text for text in texts if _holds(text.form, piece)] for piece in value.pieces]
    if not all(holding):
        return []
    together = [text for text in holding[0] if all(text in others for others in holding[1:])]
    if together:
        return [Hit(text, How.ASSEMBLED, value.pieces[-1].flat) for text in together]
    return [
        Hit(texts[0], How.ASSEMBLED, piece.flat) for piece, texts in zip(value.pieces, holding, strict=True)
    ]


def _sentence(value: Wanted, texts: Sequence[Text]) -> list[Hit]:
    rare = value.rare
    if not rare or len(value.words) < FEWEST_RARE:
        return []
    common = [(text, rare & text.form.words) for text in texts]
    hits = []
    for text, seen in common:
        quoted = next(
            (
                one
                for word in list(seen)[:MOST_BLOCKS_TRIED]
                if (one := _quote(value, value.blocks[word], text))
            ),
            None,
        )
        if quoted:
            hits.append(Hit(text, How.QUOTED, quoted))
        elif len(seen) >= FEWEST_RARE and len(seen) >= SHARE * len(rare):
            hits.append(Hit(text, How.ASSEMBLED, f" {max(seen, key=len)} "))
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
