"""What has ended is forgotten after a while, so that the store does not grow for ever."""

import sqlite3

from atlas.engine.times import DAY
from atlas.engine.ulids import first_ulid

KEPT = 30 * DAY
_MOST = 1000


def forget_ended(connection: sqlite3.Connection, moment: int) -> bool:
    """Deletes some of what had ended long before a moment; tells whether there may be more."""
    before = moment - KEPT
    ended = connection.execute(
        "SELECT run_id FROM runs WHERE ended_at < ? LIMIT ?", (before, _MOST)
    ).fetchall()
    connection.executemany("DELETE FROM memos WHERE run_id = ?", ended)
    connection.executemany("DELETE FROM runs WHERE run_id = ?", ended)
    events = connection.execute(
        "DELETE FROM events WHERE event_id IN (SELECT event_id FROM events WHERE event_id < ?"
        " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.event_id = events.event_id) LIMIT ?)",
        (first_ulid(before), _MOST),
    )
    connection.execute("DELETE FROM skips WHERE until < ?", (moment,))
    return len(ended) == _MOST or events.rowcount == _MOST
