"""A lane for each receiver: how much goes to it at once, and how long it is left alone after a failure.

All together have a pace, so that agents' calls are not slow while thousands of notices wait.
"""

from collections import Counter
from datetime import datetime
from time import monotonic

from atlas.outbox.deliveries import pause_after

AT_ONCE = 16
AT_ONCE_EACH = 4
IN_A_SECOND = 50  # messages that begin, when very many wait
AT_ONE_GO = 100  # before that counts


class Lanes:
    """Keeps one slow or silent receiver from holding up the others."""

    def __init__(self) -> None:
        self._busy: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()  # in a row
        self._rests_until: dict[str, datetime] = {}
        self._left, self._left_at = float(AT_ONE_GO), monotonic()  # what may begin, and since when it grows

    @property
    def are_full(self) -> bool:
        """Whether nothing more can begin, whichever receiver it is for."""
        return self._busy.total() >= AT_ONCE or self._may_begin() < 1

    def _may_begin(self) -> float:
        return min(AT_ONE_GO, self._left + (monotonic() - self._left_at) * IN_A_SECOND)

    def has_room(self, receiver: str, *, at: datetime) -> bool:
        """Whether a receiver can be tried now; after a failure by one message at a time."""
        if self._rests_until.get(receiver, at) > at:
            return False
        return self._busy[receiver] < (1 if self._failed[receiver] else AT_ONCE_EACH)

    def enter(self, receiver: str) -> None:
        """A message is on its way."""
        self._left, self._left_at = self._may_begin() - 1, monotonic()
        self._busy[receiver] += 1

    def leave(self, receiver: str, *, is_reached: bool, at: datetime) -> None:
        """It arrived, or the receiver is left alone for a while."""
        self._busy[receiver] -= 1
        if is_reached:
            self._failed.pop(receiver, None)
            self._rests_until.pop(receiver, None)
        else:
            self._failed[receiver] += 1
            self._rests_until[receiver] = at + pause_after(self._failed[receiver])
        if not self._busy[receiver]:
            del self._busy[receiver]
