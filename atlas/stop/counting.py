"""What a stop would reach, and what its lift would set going, in numbers, before a person does it."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import UNFINISHED, cases
from atlas.models import Status, Stop
from atlas.stop.covering import covered_by, stops_in_force


@dataclass(frozen=True)
class Reach:
    """How many calls, of how many agents."""

    waiting: int = 0  # for a person or for their judgement
    approved: int = 0  # and not begun
    running: int = 0
    agents: int = 0


def reach_of(connection: Connection, stop: Stop) -> Reach:
    """The calls that have not ended and that a stop covers, whether or not another one covers them too."""
    return _reach(connection, covered_by([stop]))


def reach_of_lift(connection: Connection, stop: Stop) -> Reach:
    """Those of them that no other stop covers: what goes on if this one is lifted."""
    others = [other for other in stops_in_force(connection) if other.stop_id != stop.stop_id]
    return _reach(connection, covered_by([stop]) & ~covered_by(others))


def _reach(connection: Connection, which: sa.ColumnElement[bool]) -> Reach:
    query = sa.select(cases.c.status, cases.c.principal, sa.func.count()).where(UNFINISHED, which)
    rows = list(connection.execute(query.group_by(cases.c.status, cases.c.principal)))

    def calls(*statuses: Status) -> int:
        return sum(count for status, _, count in rows if Status(status) in statuses)

    return Reach(
        waiting=calls(Status.QUEUED, Status.PENDING_REVIEW),
        approved=calls(Status.AUTHORIZED),
        running=calls(Status.EXECUTING),
        agents=len({principal for _, principal, _ in rows}),
    )
