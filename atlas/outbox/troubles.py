"""What could not be sent for a while: by which way, since when, and why, without any address."""

from datetime import datetime, timedelta, timezone

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database.statements import Instant
from atlas.frozen import Frozen
from atlas.instants import now
from atlas.outbox.tables import OPEN, deliveries, notices

LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)
SHOWN = timedelta(days=1)  # for so long after it was given up
# Each is looked up by an index of its own; with "or" between them all deliveries would be gone through.
LATE = sa.and_(OPEN, deliveries.c.next_at > sa.literal(LONG_AGO, Instant), deliveries.c.attempts > 0)
LOST = sa.and_(deliveries.c.given_up_at >= sa.bindparam("since"), deliveries.c.last_error.is_not(None))


class Trouble(Frozen):
    """Notices of one channel, to one person or to the house, that a receiver did not take."""

    channel: str
    person: str | None
    late: int  # tried, and tried again
    given_up: int  # in the last day
    since: datetime  # when the oldest of them was written
    last_error: str


_TROUBLES = (
    sa.select(
        deliveries.c.channel,
        deliveries.c.person,
        sa.func.count(deliveries.c.given_up_at).label("given_up"),
        sa.func.count().label("count"),
        sa.func.min(notices.c.made_at).label("since"),
        sa.func.max(deliveries.c.last_error).label("last_error"),
    )
    .join(notices, notices.c.notice_id == deliveries.c.notice_id)
    .group_by(deliveries.c.channel, deliveries.c.person)
    .order_by(deliveries.c.channel, deliveries.c.person)
)


def troubles(connection: Connection) -> tuple[Trouble, ...]:
    """What is late, and what was given up in the last day."""
    which = sa.union(
        sa.select(deliveries.c.delivery_id).where(LATE), sa.select(deliveries.c.delivery_id).where(LOST)
    )
    query = _TROUBLES.where(deliveries.c.delivery_id.in_(which))
    return tuple(
        Trouble(
            channel=row.channel,
            person=row.person,
            late=row.count - row.given_up,
            given_up=row.given_up,
            since=row.since,
            last_error=row.last_error or "",
        )
        for row in connection.execute(query, {"since": now() - SHOWN})
    )
