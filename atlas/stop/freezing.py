"""What waits under a stop: it freezes in the transaction of the stop, and goes on in the one of the lift."""

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.rounds import of_this_round
from atlas.cases.tables import WAITING, assessments, cases
from atlas.models import Ruling, Status, Stop
from atlas.reviews import deadlines
from atlas.stop.covering import covered_by, stops_in_force

# For an index; a seeded case counts as reported from its beginning, and waits all the same.
_IS_APPROVED = sa.and_(cases.c.reported_at.is_(None), cases.c.status == Status.AUTHORIZED.value)
_MOVE = (
    cases.update()
    .where(cases.c.case_id == sa.bindparam("this"))
    .values(expires_at=sa.bindparam("until"), frozen_at=None)
)
_FROZEN = sa.select(
    cases.c.case_id, cases.c.round_number, cases.c.expires_at, cases.c.frozen_at, assessments.c.ruling
).select_from(cases.outerjoin(assessments, of_this_round(assessments)))


class FrozenCases(NamedTuple):
    """How many cases a stop froze."""

    waiting: int  # for a person
    approved: int  # and not begun


def freeze(connection: Connection, stop: Stop, *, at: datetime) -> FrozenCases:
    """Freeze the cases that a stop covers; one whose time is over already expires as always."""
    has_time = sa.or_(cases.c.expires_at.is_(None), cases.c.expires_at > at)
    waiting = _freeze(connection, stop, at, WAITING, has_time)
    return FrozenCases(waiting, _freeze(connection, stop, at, _IS_APPROVED))


def _freeze(
    connection: Connection, stop: Stop, at: datetime, *which: sa.ColumnElement[bool] | sa.TextClause
) -> int:
    change = cases.update().where(cases.c.frozen_at.is_(None), covered_by([stop]), *which)
    return connection.execute(change.values(frozen_at=at)).rowcount


def thaw(connection: Connection, *, at: datetime) -> int:
    """Give the waiting cases that no stop covers any more the time back that they were frozen.

    Their reminders and escalations move with it.

    An approved case keeps the note that it was held, by which the courier finds it, until it begins.
    """
    query = _FROZEN.where(WAITING, cases.c.frozen_at.is_not(None), ~covered_by(stops_in_force(connection)))
    moves = [_move(connection, row, at=at) for row in connection.execute(query).all()]
    if moves:
        connection.execute(_MOVE, moves)
    return len(moves)


def _move(connection: Connection, row: Any, *, at: datetime) -> dict[str, Any]:
    ruling = Ruling.model_validate_json(row.ruling) if row.ruling else None
    until = deadlines.thaw(connection, row, frozen_at=row.frozen_at, at=at, ruling=ruling)
    return {"this": row.case_id, "until": until}
