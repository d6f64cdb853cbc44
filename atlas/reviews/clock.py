"""The clock: does what is due of cases that wait, each thing once, in transactions of a few rows.

Another process may do the same: a row counts for the one that marks it done. A restart loses nothing.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.endings import GATEWAY
from atlas.cases.tables import cases
from atlas.database.database import Database
from atlas.database.known_end import as_a_whole
from atlas.database.resting import rest_after, timed
from atlas.database.statements import Prepared
from atlas.instants import instant_of, instant_text, now
from atlas.models import Case, Status
from atlas.outbox.notices import Kind, Told, put_all
from atlas.reviews.deadlines import Due
from atlas.reviews.tables import due_times, escalations

BATCH = 25  # rows of a transaction, so that no call waits long behind one
POLL_SECONDS = 15.0  # for what another process wrote, and for a clock that was set
LEAST_SECONDS = 1.0  # between two looks because of new cases
AGAIN_SECONDS = 60.0  # after which what failed is tried again

logger = logging.getLogger(__name__)

_OF_DUE = ("due_id", "case_id", "round_number", "kind", "step", "detail")
_COLUMNS = (
    *(due_times.c[name] for name in _OF_DUE),
    *(cases.c[name] for name in ("status", "round_number", "expires_at")),
)
# What is frozen by a stop is not due: it moves when the stop is lifted.
_RUNS = sa.or_(cases.c.frozen_at.is_(None), cases.c.status != Status.PENDING_REVIEW.value)
_IS_OPEN = (due_times.c.done_at.is_(None), due_times.c.case_id == cases.c.case_id, _RUNS)
_NEXT = Prepared(
    sa.select(due_times.c.due_at).where(*_IS_OPEN).order_by(due_times.c.due_at).limit(sa.literal_column("1"))
)
_DUE = Prepared(
    sa.select(*_COLUMNS)
    .where(*_IS_OPEN, due_times.c.due_at <= sa.bindparam("at"))
    .order_by(due_times.c.due_at)
    .limit(sa.literal_column(str(BATCH)))
)
_IS_THIS = (due_times.c.due_id == sa.bindparam("this"), due_times.c.done_at.is_(None))
_DONE = Prepared(due_times.update().where(*_IS_THIS).values(done_at=sa.bindparam("at")))
_LATER = Prepared(due_times.update().where(*_IS_THIS).values(due_at=sa.bindparam("at")))
_ESCALATE = Prepared(escalations.insert())


class DueRow(NamedTuple):
    """One thing that is due, and how its case stands at that moment."""

    due_id: int
    case_id: str
    round_number: int
    kind: str
    step: int
    detail: str | None
    status: str
    round_now: int
    expires_at: str | datetime | None

    @property
    def said(self) -> dict[str, Any]:
        """What was written of it."""
        return dict(json.loads(self.detail)) if self.detail else {}

    @property
    def ends(self) -> dict[str, str | None]:
        """The end of the time to decide."""
        return {"expires_at": None if self.expires_at is None else instant_text(instant_of(self.expires_at))}

    def still_waits(self, at: datetime) -> bool:
        """Whether the case waits in the round in which this was written, and its time is not over."""
        is_in_time = self.expires_at is None or at < instant_of(self.expires_at)
        is_same_round = self.round_now == self.round_number
        return self.status == Status.PENDING_REVIEW.value and is_same_round and is_in_time


class Clock:
    """Does what is due as long as it runs, and sleeps until the next thing is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._woken = asyncio.Event()

    def note(self, case: Case) -> None:
        """See that a case has changed: something may be due sooner than the clock sleeps."""
        if case.status is Status.PENDING_REVIEW:
            self._woken.set()

    async def run(self) -> None:
        """Do what is due until cancelled."""
        while True:
            try:
                pause = await self._look()
            except Exception:
                logger.exception("The clock could not do what is due; it tries again")
                pause = POLL_SECONDS
            await self._sleep(pause)

    async def _look(self) -> float:
        """Do some of what is due, and say how many seconds may pass until the next look."""
        self._woken.clear()
        next_at = await self._database.read(next_due)
        if next_at is None:
            return POLL_SECONDS
        early = next_at - now()
        if early > timedelta(0):
            return min(early.total_seconds(), POLL_SECONDS)
        _, seconds = await self._database.write(timed(take_due))
        return rest_after(seconds, due_since=next_at)

    async def _sleep(self, seconds: float) -> None:
        if seconds < LEAST_SECONDS:
            await asyncio.sleep(seconds)
            return
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
            await asyncio.sleep(LEAST_SECONDS)  # many cases that come together are one look


def next_due(connection: Connection) -> datetime | None:
    """When the next thing is due; it may be past."""
    row = _NEXT.first(connection, {})
    return None if row is None else instant_of(row[0])


def take_due(connection: Connection) -> int:
    """Do what is due by now, a few things at most, and return how many."""
    at = now()
    rows = due_rows(connection, at=at)
    try:
        with as_a_whole(connection):
            _do(connection, rows, at=at)
    except Exception:  # of one of them: each for itself, so that the others are done
        for row in rows:
            do_or_delay(connection, row, at=at)
    return len(rows)


def due_rows(connection: Connection, *, at: datetime) -> list[DueRow]:
    """What is due by a moment, a few things at most, the oldest first."""
    return [DueRow(*row) for row in _DUE.rows(connection, {"at": at})]


def do_or_delay(connection: Connection, row: DueRow, *, at: datetime) -> None:
    """Do one thing as a whole; what cannot be done is tried later, and holds up no other."""
    try:
        with as_a_whole(connection):
            _do(connection, [row], at=at)
    except Exception:
        logger.exception("What is due of %s could not be done; it is tried again", row.case_id)
        _LATER.execute(connection, {"this": row.due_id, "at": at + timedelta(seconds=AGAIN_SECONDS)})


def _do(connection: Connection, rows: Sequence[DueRow], *, at: datetime) -> None:
    """Mark things done, and do those that count here and whose case still waits, a kind at one go."""
    marked = instant_text(at)
    ours = [row for row in rows if _DONE.execute(connection, {"this": row.due_id, "at": marked})]
    waiting = [row for row in ours if row.still_waits(at)]
    reminders = [row for row in waiting if row.kind == Due.REMINDER.value]
    if reminders:
        _remind(connection, reminders, at=at)
    if len(reminders) < len(waiting):
        _escalate(connection, [row for row in waiting if row.kind != Due.REMINDER.value], at=at)


def _remind(connection: Connection, rows: Sequence[DueRow], *, at: datetime) -> None:
    acts, told = [], []
    for row in rows:
        said = row.said | row.ends
        detail = said | {"step": row.step, "round": row.round_number}
        acts.append(ledger.Act(row.case_id, ledger.Action.REMINDED, GATEWAY, detail))
        told.append(Told(Kind.REMINDED, row, content=said))
    ledger.append_all(connection, acts, at=at)
    put_all(connection, told)


def _escalate(connection: Connection, rows: Sequence[DueRow], *, at: datetime) -> None:
    acts, told = [], []
    for row in rows:
        to = str(row.said["to"])
        key = {"case_id": row.case_id, "round_number": row.round_number, "step": row.step}
        _ESCALATE.execute(connection, key | {"to_whom": to, "escalated_at": at})
        detail = {"to": to, "step": row.step, "round": row.round_number}
        acts.append(ledger.Act(row.case_id, ledger.Action.ESCALATED, GATEWAY, detail))
        told.append(Told(Kind.ESCALATED, row, to=[to], content={"step": row.step} | row.ends))
    ledger.append_all(connection, acts, at=at)
    put_all(connection, told)
