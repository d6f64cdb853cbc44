"""The case store: what is known of every governed call, changed only by checked transitions."""

import json
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.draining import Draining
from atlas.cases.elsewhere import Elsewhere
from atlas.cases.rounds import round_of
from atlas.cases.rows import DETAILS, EVERYTHING, case_of, named_case
from atlas.cases.tables import approvals, assessments, cases, decisions, inquiries, outcomes
from atlas.cases.watch import Watches
from atlas.database.database import Database
from atlas.database.facts import note
from atlas.database.hints import hint
from atlas.database.statements import Prepared
from atlas.errors import CaseNotFound, TransitionRefused
from atlas.instants import now
from atlas.models import (
    TRANSITIONS,
    Approval,
    Assessment,
    Case,
    Decision,
    Inquiry,
    Outcome,
    Status,
    Stop,
)

_INSERT = {table: Prepared(table.insert()) for table in DETAILS}
_CHANGING = (
    *("expires_at", "claimed_by", "reported_at", "definition_sha256", "round_number", "frozen_at"),
    "begins_at",
)
_MOVE = Prepared(
    cases.update()
    .where(cases.c.case_id == sa.bindparam("this"), cases.c.status == sa.bindparam("before"))
    .values({name: sa.bindparam(name) for name in ("status", "shown_score", *_CHANGING)})
)
_COLLECT = Prepared(
    cases.update()
    .where(cases.c.case_id == sa.bindparam("this"), cases.c.collected_at.is_(None))
    .values(collected_at=sa.bindparam("collected_at"))
)
_UNCOLLECT = Prepared(
    cases.update()
    .where(cases.c.case_id == sa.bindparam("this"), cases.c.collected_at == sa.bindparam("collected_at"))
    .values(collected_at=sa.null())
)
_ONE = Prepared(EVERYTHING.where(cases.c.case_id == sa.bindparam("case_id")))


class Collected(NamedTuple):
    """An ending was handed to its agent, for those who watch."""

    case_id: str


class CaseStore:
    """Reads cases, changes them one transaction at a time, and tells the watchers of a case."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.listeners: list[Callable[[Case], None]] = []  # told of every case that was changed
        self.draining = Draining()
        self._watches = Watches(read=self.read, hints=database.hints, draining=self.draining)
        self.watch = self._watches.watch
        self.elsewhere = Elsewhere(database.hints, self._read_all)
        self.elsewhere.shows.append(self._watches)

    @property
    def process_id(self) -> str:
        """Marks what this process has begun, and no other."""
        return self.database.lease.process_id

    async def read_call(self, case_id: str) -> Case:
        """The case with its call, which never changes; its state may have moved on. Raises CaseNotFound."""
        watch = self._watches.of(case_id)
        return await self.read(case_id) if watch is None else watch.case

    async def read(self, case_id: str) -> Case:
        """The case as it is on disk; raises CaseNotFound."""
        return await self.database.read(partial(read_case, case_id=case_id))

    async def select(self, *conditions: sa.ColumnElement[bool], limit: int = 500) -> list[Case]:
        """Cases that fulfil all conditions on the tables of this module."""
        return await self._selected(EVERYTHING.where(*conditions).order_by(cases.c.status).limit(limit))

    async def page(
        self, *conditions: sa.ColumnElement[bool], limit: int, after: tuple[str, str] | None
    ) -> list[Case]:
        """The same by status and reference, or those after one; it looks at all that fulfil them."""
        order = cases.c.status, cases.c.case_id
        wanted = sa.select(cases.c.case_id).where(*conditions).order_by(*order).limit(limit).correlate(None)
        if after is not None:
            wanted = wanted.where(sa.tuple_(*order) > sa.tuple_(*map(sa.literal, after)))
        # First which ones, so that only of those all that is known is looked up.
        return await self._selected(EVERYTHING.where(cases.c.case_id.in_(wanted)).order_by(*order))

    async def _selected(self, query: sa.Select[Any]) -> list[Case]:
        def rows(connection: Connection) -> list[Case]:
            return [named_case(connection, row) for row in connection.execute(query).mappings()]

        return await self.database.read(rows)

    async def change(
        self, case_id: str, work: Callable[[Connection], Case], *, passing: Collection[Status] = ()
    ) -> Case:
        """One write transaction about a case; its watchers are told after it is on disk.

        A case that only passes through a status, because the caller changes it again at once, is on disk with
        that change, and no one is told of this one.
        """
        work = partial(_hinted, work)
        change = await self.database.write_ahead(work) if passing else None
        if change is not None and change.result.status in passing:
            return change.result
        case = await (self.database.write(work) if change is None else change.on_disk())
        self.elsewhere.note_own(case_id)
        self._watches.tell(case)
        for listener in self.listeners:
            listener(case)
        return case

    @property
    def is_watched(self) -> bool:
        """Whether an agent waits for a case here."""
        return bool(self._watches)

    def wake(self) -> None:
        """Have all who wait look again."""
        self._watches.wake()

    async def _read_all(self, case_ids: Collection[str]) -> list[Case]:
        return await self.select(cases.c.case_id.in_(case_ids), limit=len(case_ids))


def _hinted(work: Callable[[Connection], Case], connection: Connection) -> Case:
    """Do work about a case, and have other gateways told of it."""
    case = work(connection)
    hint(connection, case.case_id)
    return case


def mark_collected(connection: Connection, case: Case, *, at: datetime | None = None) -> Case:
    """Note that the ending of a case was handed to its agent; the first time counts."""
    collected_at = at or now()
    if _COLLECT.execute(connection, {"this": case.case_id, "collected_at": collected_at}):
        note(connection, [Collected(case.case_id)])
    return case.model_copy(update={"collected_at": case.collected_at or collected_at})


def mark_not_collected(connection: Connection, case: Case, *, at: datetime) -> None:
    """Take back the note of that moment: its agent stopped listening while it was written."""
    _UNCOLLECT.execute(connection, {"this": case.case_id, "collected_at": at})


def read_case(connection: Connection, case_id: str) -> Case:
    """The case as a transaction sees it; raises CaseNotFound."""
    row = _ONE.first(connection, {"case_id": case_id})
    if row is None:
        raise CaseNotFound(case_id=case_id)
    return case_of(connection, row)


def hold(connection: Connection, case: Case, stop: Stop) -> Case:
    """Note that a case does not begin because of a stop; the first time counts."""
    frozen_at = case.frozen_at or now()
    if case.frozen_at is None:
        connection.execute(cases.update().where(cases.c.case_id == case.case_id).values(frozen_at=frozen_at))
    return case.model_copy(update={"frozen_at": frozen_at, "stop": stop})


def transition(connection: Connection, case: Case, to: Status, **columns: Any) -> Case:
    """Move a case on, if it still stands where it was read, and return it; raises TransitionRefused."""
    if case.is_seeded and to in (Status.AUTHORIZED, Status.EXECUTING):
        raise TransitionRefused(case_id=case.case_id, status="seeded", to=to.value)
    if to not in TRANSITIONS.get(case.status, ()):
        raise TransitionRefused(case_id=case.case_id, status=case.status.value, to=to.value)
    # A stop covers where a case stands, not where it goes.
    moved = case.model_copy(update={"status": to, "frozen_at": None, "stop": None} | columns)
    values = {name: getattr(moved, name) for name in _CHANGING}
    where = {"this": case.case_id, "before": case.status.value, "status": to.value}
    if _MOVE.execute(connection, values | where | {"shown_score": _shown_score(moved)}) != 1:
        raise TransitionRefused(case_id=case.case_id, status="no longer " + case.status.value, to=to.value)
    return moved


def _shown_score(case: Case) -> int | None:
    """By which risk a case is listed while it waits: no order tells the score that a rule hides."""
    judged = case.assessment
    if case.status is not Status.PENDING_REVIEW or judged is None:
        return None
    return 100 if judged.ruling is not None and judged.ruling.review.hides_score else judged.risk_score


def hold_at(connection: Connection, case: Case, process_id: str) -> Case:
    """Note at which process the agent of an unfinished case waits now."""
    if case.held_by == process_id:
        return case
    connection.execute(cases.update().where(cases.c.case_id == case.case_id).values(held_by=process_id))
    return case.model_copy(update={"held_by": process_id})


def mark_reported(connection: Connection, case: Case) -> Case:
    """Note that the workflow has heard how the case ended and needs no more reminders."""
    reported_at = now()
    connection.execute(cases.update().where(cases.c.case_id == case.case_id).values(reported_at=reported_at))
    return case.model_copy(update={"reported_at": reported_at})


def claim_again(connection: Connection, case: Case, process_id: str) -> Case:
    """Let this process go on with what another one began."""
    claimed = {"claimed_by": process_id, "frozen_at": None}
    connection.execute(cases.update().where(cases.c.case_id == case.case_id).values(claimed))
    return case.model_copy(update=claimed | {"stop": None})


def add_inquiry(connection: Connection, case: Case, inquiry: Inquiry) -> Case:
    """Record that a model elsewhere was asked about a case."""
    _INSERT[inquiries].execute(connection, inquiry.model_dump() | round_of(case))
    return case.model_copy(update={"inquiry": inquiry})


def add_assessment(connection: Connection, case: Case, assessment: Assessment) -> Case:
    """Record the one assessment of a case in this round."""
    ruling = assessment.ruling.model_dump_json(exclude_defaults=True) if assessment.ruling else None
    trace = assessment.trace.model_dump_json(exclude_defaults=True) if assessment.trace else None
    said = {"ruling": ruling, "trace": trace}
    values = assessment.model_dump(exclude=set(said)) | round_of(case) | said
    _INSERT[assessments].execute(connection, values)
    return case.model_copy(update={"assessment": assessment})


def add_decision(connection: Connection, case: Case, decision: Decision) -> Case:
    """Record the one decision of a person on a case in this round."""
    values = round_of(case) | {"decision": decision.decision.value}
    _INSERT[decisions].execute(connection, decision.model_dump() | values)
    return case.model_copy(update={"decision": decision})


def add_approval(connection: Connection, case: Case, approval: Approval) -> None:
    """Record one of several approvals of a case."""
    connection.execute(approvals.insert().values(approval.model_dump() | round_of(case)))


def read_approvals(connection: Connection, case: Case) -> tuple[Approval, ...]:
    """The approvals of a case in this round so far, the oldest first."""
    this = (approvals.c.case_id == case.case_id, approvals.c.round_number == case.round_number)
    query = approvals.select().where(*this).order_by(approvals.c.decided_at)
    rows = connection.execute(query).mappings()
    return tuple(Approval(**{name: row[name] for name in Approval.model_fields}) for row in rows)


def add_outcome(connection: Connection, case: Case, outcome: Outcome) -> Case:
    """Record how the execution of a case ended."""
    result = None if outcome.result is None else json.dumps(outcome.result, ensure_ascii=False)
    _INSERT[outcomes].execute(connection, outcome.model_dump() | {"case_id": case.case_id, "result": result})
    return case.model_copy(update={"outcome": outcome})
