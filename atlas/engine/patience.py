"""Patience with apps that can't be reached: a call that reached nothing ran nothing, and is no attempt."""

import time

PATIENCE = 30.0  # seconds for each attempt, in which an app may restart
_SHORTEST, _LONGEST = 0.25, 5.0  # seconds between two tries
# Seconds after which a call is taken for one that is not made any more. A try may take 10 s where no refusal
# comes back, and wait for its turn before: what is forgotten too soon begins again, and its run never ends.
FORGOTTEN = 3600.0


class Patience:
    """Knows since when calls have not reached their apps; after a restart of the engine it begins again."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}  # by the ids of queue items, the oldest first

    def wait(self, item_id: int, *, is_unreached: bool) -> int | None:
        """The milliseconds until a call is to be made again, or None: what came of it counts."""
        moment = time.monotonic()
        since = self._since.setdefault(item_id, moment) if is_unreached else moment
        self._drop_oldest(moment - FORGOTTEN)
        if not is_unreached or moment - since >= PATIENCE:
            self._since.pop(item_id, None)
            return None
        # Half as long as it has lasted: soon after a short restart, and seldom in a long one.
        return int(1000 * min(_LONGEST, max(_SHORTEST, (moment - since) / 2)))

    def _drop_oldest(self, before: float) -> None:
        # Of runs that were cancelled in between: their calls are not made any more.
        while self._since and self._since[next(iter(self._since))] < before:
            del self._since[next(iter(self._since))]
