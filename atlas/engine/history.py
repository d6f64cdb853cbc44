"""History ends: what has ended is forgotten after a while, a little at a time, so that nothing waits for it.

The file does not shrink, but what is written next takes the room of what was forgotten: it stays as large as
what one such while has brought. What waits is never forgotten. What tells that an event was
received before is kept for a day, even if the while is shorter.
"""

import datetime
import sqlite3
import time

from atlas.engine.times import DAY, now

MONTH = datetime.timedelta(days=30)
_MOST_RUNS = 200
_MOST_STEPS = 2000  # of those runs, and
_MOST_STATE = 4 * 2**20  # bytes: a run may have a thousand times as much as most
_MOST_EVENTS = 400
_LONGEST_PAUSE = 3600.0  # seconds
_FROM_THE_BEGINNING = (-1, -1)


class History:
    """Forgets runs that ended longer ago than the retention, then the events that no run needs."""

    def __init__(self, retention: datetime.timedelta) -> None:
        self._retention = int(retention.total_seconds() * 1000)
        self.pause = min(_LONGEST_PAUSE, max(1.0, retention.total_seconds() / 10))  # between two sweeps
        self._looked_at = _FROM_THE_BEGINNING  # the event up to which the present sweep has come
        self._moment, self._read_at = now(), time.monotonic()

    def forget_some(self, connection: sqlite3.Connection) -> bool:
        """Delete some of what ended long ago; tells whether there may be more."""
        moment = self._tell_time()
        # All three run, even if the first has found more already.
        return any(
            [
                _forget_runs(connection, moment - self._retention),
                self._forget_events(connection, moment - max(self._retention, DAY)),
                _forget_skips(connection, moment),
            ]
        )

    def _tell_time(self) -> int:
        begun, self._read_at = self._read_at, time.monotonic()
        elapsed = int((self._read_at - begun) * 1000)
        self._moment = forget_until(self._moment, clock=now(), elapsed=elapsed)
        return self._moment

    def _forget_events(self, connection: sqlite3.Connection, before: int) -> bool:
        # Onwards from where it stopped: the events of all that waits are not looked at again for each step.
        window = connection.execute(
            "SELECT received_at, rowid, EXISTS (SELECT 1 FROM runs WHERE runs.event_id = events.event_id)"
            " FROM events WHERE (received_at, rowid) > (?, ?) AND received_at < ?"
            " ORDER BY received_at, rowid LIMIT ?",
            (*self._looked_at, before, _MOST_EVENTS),
        ).fetchall()
        unused = [(rowid,) for _, rowid, is_used in window if not is_used]
        connection.executemany("DELETE FROM events WHERE rowid = ?", unused)
        has_more = len(window) == _MOST_EVENTS
        self._looked_at = window[-1][:2] if has_more else _FROM_THE_BEGINNING
        return has_more


def forget_until(moment: int, *, clock: int, elapsed: int) -> int:
    """The moment to forget by: the clock's, unless it has run ahead of the time that has elapsed."""
    return min(clock, moment + 2 * elapsed)  # twice: after a long sleep of the machine it catches up


def _forget_runs(connection: sqlite3.Connection, before: int) -> bool:
    oldest = connection.execute(
        "SELECT run_id, memo_count, state_size FROM runs WHERE ended_at < ? ORDER BY ended_at LIMIT ?",
        (before, _MOST_RUNS),
    ).fetchall()
    ended, steps, state = [], 0, 0
    for run_id, memo_count, state_size in oldest:
        ended.append((run_id,))
        steps, state = steps + memo_count, state + state_size
        if steps >= _MOST_STEPS or state >= _MOST_STATE:
            break
    connection.executemany("DELETE FROM memos WHERE run_id = ?", ended)
    connection.executemany("DELETE FROM runs WHERE run_id = ?", ended)
    return len(ended) < len(oldest) or len(oldest) == _MOST_RUNS


def _forget_skips(connection: sqlite3.Connection, moment: int) -> bool:
    forgotten = connection.execute(
        "DELETE FROM skips WHERE (function_id, key) IN"
        " (SELECT function_id, key FROM skips WHERE until < ? ORDER BY until LIMIT ?)",
        (moment, _MOST_EVENTS),
    )
    return forgotten.rowcount == _MOST_EVENTS
