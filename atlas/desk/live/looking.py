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

    def note(self, case_id: str, name: str) -> None:
        """A person looks at a case now."""
        is_new = (case_id, name) not in self._seen
        self._seen[case_id, name] = self._clock()
        self._seen.move_to_end((case_id, name))
        self._forget_old()
        if is_new:
            self.changed(case_id)

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
        """The cases that a person looks at; that a look is over is told here."""
        self._forget_old()
        return frozenset(case_id for case_id, _ in self._seen)

    def _forget_old(self) -> None:
        while self._seen and (len(self._seen) > MOST_KEPT or self._is_over(next(iter(self._seen.values())))):
            (case_id, _), _ = self._seen.popitem(last=False)
            self.changed(case_id)

    def _is_over(self, at: float) -> bool:
        return self._clock() - at > SECONDS
