"""Who looks at a case now: kept in memory for two minutes, told to the others, and it blocks no one."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

SECONDS = 120.0
MOST_KEPT = 10_000  # looks; the oldest are forgotten first


class Looking:
    """Notes that a person has a case open, and says who else has."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.changed: Callable[[str], None] = lambda case_id: None  # called when others look at a case
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()  # case and name, the newest last

    def note(self, case_id: str, name: str) -> bool:
        """A person looks at a case now; says whether they did not before."""
        before = self._seen.get((case_id, name))
        is_new = before is None or self._is_over(before)
        self._seen[case_id, name] = self._clock()
        self._seen.move_to_end((case_id, name))
        while self._seen and (len(self._seen) > MOST_KEPT or self._is_over(next(iter(self._seen.values())))):
            self._seen.popitem(last=False)
        if is_new:
            self.changed(case_id)
        return is_new

    def leave(self, case_id: str, name: str) -> None:
        """A person is done with a case."""
        if self._seen.pop((case_id, name), None) is not None:
            self.changed(case_id)

    def others(self, case_id: str, name: str) -> tuple[str, ...]:
        """Who looks at a case beside this person, by name."""
        return self.everywhere(name).get(case_id, ())

    def everywhere(self, name: str) -> dict[str, tuple[str, ...]]:
        """The others at each case that is looked at: for a list of cases, asked once."""
        found: dict[str, tuple[str, ...]] = {}
        for (case_id, other), at in self._seen.items():
            if other != name and not self._is_over(at):
                found[case_id] = tuple(sorted((*found.get(case_id, ()), other)))
        return found

    def case_ids(self) -> frozenset[str]:
        """The cases that a person looks at."""
        return frozenset(case_id for case_id, _ in self._seen)

    def _is_over(self, at: float) -> bool:
        return self._clock() - at > SECONDS
