"""Where the leaves of a call stood in what its agent read before: the hits that count, the earliest first."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from atlas.assessors import Earlier
from atlas.origins.common import WORDS
from atlas.origins.forms import Wanted, wanted
from atlas.origins.leaves import Leaf
from atlas.origins.matching import Hit, Texts, parts_in, whole_in
from atlas.origins.numbers import as_number
from atlas.origins.searchable import searchable
from atlas.traces import How

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
        self._forms = searchable(earlier)
        self._texts = Texts(self._forms)

    @property
    def is_complete(self) -> bool:
        """Whether all that was read could be compared."""
        return not any(form.is_partly_read for form in self._forms)

    def sought(self, leaves: Sequence[Leaf]) -> list[Sought]:
        """Each leaf with the results in which it stood; two neighbours may be the halves of one value."""
        alone = [
            Sought(leaf, value, self._hits(value)) if (value := wanted(leaf.value)) else Sought(leaf, None)
            for leaf in leaves
        ]
        halves = [at for at, one in enumerate(alone) if _may_be_half(one.leaf.value)]
        for first, second in pairwise(halves):
            unfound = [at for at in (first, second) if not alone[at].hits]
            if unfound and (joined := self._joined(alone[first].leaf, alone[second].leaf)):
                for at in unfound:
                    alone[at] = Sought(alone[at].leaf, *joined)
        return alone

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

    def _is_outside(self, hit: Hit) -> bool:
        return self._earlier[hit.text.place].is_outside

    def _first_said(self, value: Wanted, *, until: int) -> int | None:
        """The first call whose arguments named a value, up to one of the calls."""
        said = whole_in(value, self._asked)
        return said[0].text.place if said and said[0].text.place <= until else None

    @cached_property
    def _asked(self) -> Texts:
        return Texts([form.asked for form in self._forms])


def _may_be_half(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    text = str(value) if isinstance(value, str) or value.bit_length() < 128 else ""
    return 0 < len(text) <= LONGEST_HALF and " " not in text.strip() and text.lower() not in WORDS
