"""Where the leaves of a call stood in what its agent read before: the hits that count, the earliest first."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from atlas.assessors import Earlier
from atlas.origins.common import WORDS
from atlas.origins.forms import Wanted, wanted
from atlas.origins.leaves import Leaf
from atlas.origins.matching import Hit, Texts, parts_in, plain_in, whole_in
from atlas.origins.numbers import as_number
from atlas.origins.searchable import searchable
from atlas.traces import How

MOST_WAYS = 4_000  # to write the leaves of one call, all together
LONGEST_HALF = 40  # characters of a leaf that may be a half of a value


class Sought(NamedTuple):
    """A leaf as it was looked for, and where it stood."""

    leaf: Leaf
    value: Wanted | None  # None: it says nothing about where it came from
    hits: tuple[Hit, ...] = ()


class Search:
    """Looks for the leaves of one call in the earlier results of its agent."""

    def __init__(self, earlier: Sequence[Earlier]) -> None:
        self._earlier = earlier
        self.forms = searchable(earlier)
        self._texts = Texts(self.forms, [one.is_outside for one in earlier])
        self._said: dict[int, Texts] = {}
        self._is_cut = False

    @property
    def is_complete(self) -> bool:
        """Whether all that was read could be compared, with all leaves that were looked for."""
        is_cut = self._is_cut or not self._texts.looks.are_enough
        return not is_cut and not any(form.is_partly_read for form in self.forms)

    def sought(self, leaves: Sequence[Leaf]) -> list[Sought]:
        """Each leaf with the results in which it stood; two neighbours may be the halves of one value.

        Those that are left when MOST_WAYS is reached are left out.
        """
        alone = [
            Sought(leaf, value, self._hits(value)) if value else Sought(leaf, None)
            for leaf, value in self._bounded(leaves)
        ]
        halves = [at for at, one in enumerate(alone) if _may_be_half(one.leaf.value)]
        for first, second in pairwise(halves):
            unfound = [at for at in (first, second) if not alone[at].hits]
            if unfound and (joined := self._joined(alone[first].leaf, alone[second].leaf)):
                for at in unfound:
                    alone[at] = Sought(alone[at].leaf, *joined)
        return alone

    def _bounded(self, leaves: Sequence[Leaf]) -> Iterator[tuple[Leaf, Wanted | None]]:
        left = MOST_WAYS
        for leaf in leaves:
            value = wanted(leaf.value)
            left -= value.ways if value else 0
            if left < 0:
                self._is_cut = True
                return
            yield leaf, value

    def _joined(self, first: Leaf, second: Leaf) -> tuple[Wanted, tuple[Hit, ...]] | None:
        together = f"{first.value}{second.value}"
        is_amount = not together.isdecimal() and as_number(together) is not None  # 1240 and EUR are no halves
        value = None if is_amount else wanted(together)
        hits = whole_in(value, self._texts) if value is not None else []
        return (value, tuple(hit._replace(how=How.ASSEMBLED) for hit in hits)) if value and hits else None

    def _hits(self, value: Wanted) -> tuple[Hit, ...]:
        """The hits that count: not those that only repeat what the agent itself said before."""
        whole = whole_in(value, self._texts)
        if whole:
            first = whole[0].text.place
            said = None if self._earlier[first].is_outside else self._first_said(value, until=first)
            if said is None:
                return tuple(whole)
            whole = [
                hit for hit in whole if self._earlier[hit.text.place].is_outside or hit.text.place < said
            ]
        known = {hit.text.place for hit in whole}
        parts = [hit for hit in parts_in(value, self._texts) if hit.text.place not in known]
        return tuple(sorted([*whole, *parts], key=lambda hit: hit.text.place))

    def asked_at(self, value: Wanted, places: Iterable[int]) -> int:
        """The first of some places whose call had a value in its arguments; -1 where none had it."""
        return next((at for at in places if whole_in(value, Texts([self.forms[at].asked]))), -1)

    def _first_said(self, value: Wanted, *, until: int) -> int | None:
        """The first call whose arguments named a value, up to one of the calls."""
        said = plain_in(value, self._asked(until + 1)) or whole_in(value, self._asked(len(self.forms)))
        return said[0].text.place if said and said[0].text.place <= until else None

    def _asked(self, count: int) -> Texts:
        """What the agent itself said in the first calls, made once for each count."""
        texts = self._said.get(count)
        if texts is None:
            asked = [form.asked for form in self.forms[:count]]
            texts = self._said[count] = Texts(asked, [False] * count)
        return texts


def _may_be_half(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    text = str(value) if isinstance(value, str) or value.bit_length() < 128 else ""
    return 0 < len(text) <= LONGEST_HALF and " " not in text.strip() and text.lower() not in WORDS
