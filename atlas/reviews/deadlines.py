"""What is due of a case that waits, and when: written with the change that puts it before a person.

It moves with the end of the time to decide: when that is extended, and when a stop is lifted.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import cases
from atlas.database.statements import Prepared
from atlas.instants import instant_of, now
from atlas.models import Case, Ruling, Status
from atlas.reviews.hours import WorkingTime
from atlas.reviews.tables import due_times
from atlas.reviews.working import working_time

SHARES = ((1, 0.5, "half"), (2, 0.9, "nine tenths"))  # of the time to decide, after which people are reminded


class Due(str, Enum):
    """What is due."""

    REMINDER = "reminder"
    ESCALATION = "escalation"


_WRITTEN = ("case_id", "round_number", "kind", "step", "detail", "due_at")
_INSERT = Prepared(due_times.insert().values({name: sa.bindparam(name) for name in _WRITTEN}))
_OF_ROUND = (
    due_times.c.case_id == sa.bindparam("case_id"),
    due_times.c.round_number == sa.bindparam("round_number"),
    due_times.c.done_at.is_(None),
    due_times.c.due_at > sa.bindparam("since"),
)
_OPEN = Prepared(sa.select(due_times.c.due_id, due_times.c.due_at).where(*_OF_ROUND))
_COMING = Prepared(
    sa.select(due_times.c.kind, due_times.c.detail, due_times.c.due_at)
    .where(*_OF_ROUND)
    .order_by(due_times.c.due_at)
)
_MOVE = Prepared(
    due_times.update()
    .where(due_times.c.due_id == sa.bindparam("this"), due_times.c.done_at.is_(None))
    .values(due_at=sa.bindparam("due_at"))
)
_EXTEND = Prepared(
    cases.update()
    .where(
        cases.c.case_id == sa.bindparam("this"),
        cases.c.round_number == sa.bindparam("round"),
        cases.c.status == Status.PENDING_REVIEW.value,
    )
    .values(expires_at=sa.bindparam("expires_at"))
)


class Waits(Protocol):
    """A case that waits, whole or as a row."""

    @property
    def case_id(self) -> str:
        """Its reference."""

    @property
    def round_number(self) -> int:
        """The round in which it waits."""

    @property
    def expires_at(self) -> datetime | None:
        """The end of the time to decide."""


@dataclass(frozen=True)
class Plan:
    """When the time to decide on a case ends, and what is due before."""

    expires_at: datetime
    steps: tuple[tuple[datetime, Due, int, dict[str, Any]], ...]


def plan(connection: Connection, case: Case, *, since: datetime, timeout: timedelta) -> Plan:
    """When a case is due that people have so much time for, by what the policy says of it."""
    ruling = _ruling(case)
    working = working_time(connection, ruling)
    expires_at = working.after(since, timeout)
    steps = [
        (working.after(since, timeout * share), Due.REMINDER, step, {"share": said})
        for step, share, said in SHARES
    ]
    for step, escalation in enumerate(ruling.review.escalations if ruling else (), start=1):
        due_at = working.after(since, timedelta(seconds=escalation.after_seconds))
        steps.append((due_at, Due.ESCALATION, step, {"to": escalation.to}))
    return Plan(expires_at, tuple(step for step in steps if step[0] < expires_at))


def note_due(connection: Connection, case: Case, planned: Plan) -> None:
    """Write what is due of a case in this round, in the transaction that puts it before a person."""
    of_round = {"case_id": case.case_id, "round_number": case.round_number}
    for due_at, kind, step, detail in planned.steps:
        what = {"kind": kind.value, "step": step, "detail": json.dumps(detail), "due_at": due_at}
        _INSERT.execute(connection, of_round | what)


def extend(connection: Connection, case: Case, seconds: int) -> Case:
    """Give people so much more time to decide, and move what is still due by the same.

    Where the rule counts working hours, these are seconds of them. A case that does not wait is unchanged.
    """
    if case.status is not Status.PENDING_REVIEW or case.expires_at is None:
        return case
    working, length = working_time(connection, _ruling(case)), timedelta(seconds=seconds)
    expires_at = working.after(case.expires_at, length)
    values = {"this": case.case_id, "round": case.round_number, "expires_at": expires_at}
    if _EXTEND.execute(connection, values) != 1:
        return case
    # Under a stop time stands still; what was due before it is due when the stop is lifted.
    _move(connection, case, by=length, working=working, since=case.frozen_at or now())
    return case.model_copy(update={"expires_at": expires_at})


@dataclass(frozen=True)
class Coming:
    """What is due next of a case."""

    kind: Due
    due_at: datetime
    to: str | None  # to whom the case goes then, of an escalation


def coming(connection: Connection, case: Case) -> tuple[Coming, ...]:
    """The next reminder and the next escalation of a case that waits, in the order of time.

    There are none while a stop holds it: its times stand still.
    """
    if case.status is not Status.PENDING_REVIEW or case.frozen_at is not None:
        return ()
    values = {"case_id": case.case_id, "round_number": case.round_number, "since": now()}
    found: dict[str, Coming] = {}
    for kind, detail, due_at in _COMING.rows(connection, values):
        to = json.loads(detail).get("to") if detail else None
        found.setdefault(kind, Coming(Due(kind), instant_of(due_at), to))
    return tuple(found.values())


def thaw(
    connection: Connection, waits: Waits, *, frozen_at: datetime, at: datetime, ruling: Ruling | None
) -> datetime | None:
    """Give what is due of a frozen case the time back that it was frozen; returns the new end of its time.

    The caller writes the end, for all cases that a stop held.
    """
    working = working_time(connection, ruling)
    frozen = working.between(frozen_at, at)  # nothing where the clock was put back
    _move(connection, waits, by=frozen, working=working, since=frozen_at)
    return waits.expires_at and working.after(waits.expires_at, frozen)


def _move(
    connection: Connection, waits: Waits, *, by: timedelta, working: WorkingTime, since: datetime
) -> None:
    """Move what is still due of this round after a moment."""
    values = {"case_id": waits.case_id, "round_number": waits.round_number, "since": since}
    for due_id, due_at in _OPEN.rows(connection, values):
        _MOVE.execute(connection, {"this": due_id, "due_at": working.after(instant_of(due_at), by)})


def _ruling(case: Case) -> Ruling | None:
    return case.assessment.ruling if case.assessment else None
