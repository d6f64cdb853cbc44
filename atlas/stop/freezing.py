"""What waits under a stop: it freezes in the transaction of the stop, and goes on in the one of the lift."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import cases
from atlas.models import Status, Stop
from atlas.stop.covering import covered_by, stops_in_force

_IS_OPEN = cases.c.reported_at.is_(None)  # for the index; what has ended is reported
_MOVE = (
    cases.update()
    .where(cases.c.case_id == sa.bindparam("this"))
    .values(expires_at=sa.bindparam("until"), frozen_at=None)
)


class FrozenCases(NamedTuple):
    """How many cases a stop froze."""

    waiting: int  # for a person
    approved: int  # and not begun


def freeze(connection: Connection, stop: Stop, *, at: datetime) -> FrozenCases:
    """Freeze the cases that a stop covers; one whose time is over already expires as always."""
    has_time = sa.or_(cases.c.expires_at.is_(None), cases.c.expires_at > at)
    waiting = _freeze(connection, stop, at, cases.c.status == Status.PENDING_REVIEW.value, has_time)
    return FrozenCases(waiting, _freeze(connection, stop, at, cases.c.status == Status.AUTHORIZED.value))


def _freeze(connection: Connection, stop: Stop, at: datetime, *which: sa.ColumnElement[bool]) -> int:
    change = cases.update().where(_IS_OPEN, cases.c.frozen_at.is_(None), covered_by([stop]), *which)
    return connection.execute(change.values(frozen_at=at)).rowcount


def thaw(connection: Connection, *, at: datetime) -> int:
    """Give the waiting cases that no stop covers any more the time back that they were frozen.

    An approved case keeps the note that it was held, by which the courier finds it, until it begins.
    """
    waits = (_IS_OPEN, cases.c.status == Status.PENDING_REVIEW.value, cases.c.frozen_at.is_not(None))
    columns = cases.c.case_id, cases.c.expires_at, cases.c.frozen_at
    query = sa.select(*columns).where(*waits, ~covered_by(stops_in_force(connection)))
    moves = [_move(*row, at=at) for row in connection.execute(query)]
    if moves:
        connection.execute(_MOVE, moves)
    return len(moves)


def _move(case_id: str, expires_at: datetime | None, frozen_at: datetime, *, at: datetime) -> dict[str, Any]:
    frozen = max(at - frozen_at, timedelta(0))  # also where the clock was put back
    return {"this": case_id, "until": expires_at and expires_at + frozen}
