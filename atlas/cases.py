"""The case store: what is known of every governed call, changed only by checked transitions."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from atlas.database import Database, Instant, metadata, now
from atlas.errors import CaseNotFound, TransitionRefused
from atlas.models import TRANSITIONS, Assessment, Case, Decision, Outcome, Status, ToolCall, Verdict

UNFINISHED = tuple(status.value for status in TRANSITIONS)
POLL_SECONDS = 1.0  # a change made by another process is seen after this long

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("case_id", sa.String(20), primary_key=True),
    sa.Column("principal", sa.String(200), nullable=False),
    sa.Column("tool_name", sa.String(200), nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("claimed_by", sa.String(32)),
    sa.Column("reported_at", Instant),
)
# The same call by the same principal is one case while the first is unfinished.
sa.Index(
    "uq_cases_unfinished",
    cases.c.principal,
    cases.c.tool_name,
    cases.c.arguments_sha256,
    unique=True,
    sqlite_where=cases.c.status.in_(UNFINISHED),
    postgresql_where=cases.c.status.in_(UNFINISHED),
)
sa.Index(
    "ix_cases_unreported",
    cases.c.status,
    cases.c.opened_at,
    sqlite_where=cases.c.reported_at.is_(None),
    postgresql_where=cases.c.reported_at.is_(None),
)

assessments = sa.Table(
    "assessments",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("risk_score", sa.Integer, nullable=False),
    sa.Column("classification", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("rationale", sa.Text, nullable=False),
    sa.Column("assessor", sa.String(200), nullable=False),
    sa.Column("threshold", sa.Integer, nullable=False),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
    sa.Column("assessed_at", Instant, nullable=False),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("decision", sa.String(10), nullable=False),
    sa.Column("reviewer", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
    sa.Column("decided_at", Instant, nullable=False),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("result", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("finished_at", Instant, nullable=False),
)

_DETAILS = (assessments, decisions, outcomes)
_EVERYTHING = sa.select(
    cases,
    *(
        column.label(f"{table.name}_{column.name}")
        for table in _DETAILS
        for column in table.c
        if column.name != "case_id"
    ),
).select_from(
    cases.outerjoin(assessments, assessments.c.case_id == cases.c.case_id)
    .outerjoin(decisions, decisions.c.case_id == cases.c.case_id)
    .outerjoin(outcomes, outcomes.c.case_id == cases.c.case_id)
)
_ONE = _EVERYTHING.where(cases.c.case_id == sa.bindparam("case_id"))


class CaseStore:
    """Reads cases, changes them one transaction at a time, and wakes whoever waits for a change."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.process_id = secrets.token_hex(8)  # marks what this process has begun, and no other
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def read(self, case_id: str) -> Case:
        """The case as it is on disk; raises CaseNotFound."""
        async with self.database.read() as connection:
            return await read_case(connection, case_id)

    async def select(self, *conditions: sa.ColumnElement[bool], limit: int = 500) -> list[Case]:
        """The oldest cases that fulfil all conditions on the tables of this module."""
        query = _EVERYTHING.where(*conditions).order_by(cases.c.opened_at).limit(limit)
        async with self.database.read() as connection:
            return [_case(row) for row in (await connection.execute(query)).mappings()]

    @asynccontextmanager
    async def change(self, case_id: str) -> AsyncIterator[AsyncConnection]:
        """One write transaction about a case; whoever waits for the case is woken after it is on disk."""
        async with self.database.write() as connection:
            yield connection
        for event in self._waiting.get(case_id, ()):
            event.set()

    async def wait(self, case_id: str, until: Callable[[Case], bool], *, seconds: float) -> Case:
        """The case as soon as the condition holds, or as it is after so many seconds."""
        event = asyncio.Event()
        self._waiting.setdefault(case_id, set()).add(event)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            while True:
                case = await self.read(case_id)
                left = deadline - asyncio.get_running_loop().time()
                if until(case) or left <= 0:
                    return case
                await _wait_for(event, seconds=min(left, POLL_SECONDS))
        finally:
            self._forget(case_id, event)

    def _forget(self, case_id: str, event: asyncio.Event) -> None:
        self._waiting[case_id].discard(event)
        if not self._waiting[case_id]:
            del self._waiting[case_id]


async def _wait_for(event: asyncio.Event, *, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return  # the caller looks again and knows its own deadline
    event.clear()


async def insert_case(connection: AsyncConnection, call: ToolCall) -> tuple[Case, bool]:
    """Open a case for a call, or find the unfinished case of the same call; says whether it was opened."""
    same = _EVERYTHING.where(
        cases.c.principal == call.principal,
        cases.c.tool_name == call.tool_name,
        cases.c.arguments_sha256 == call.arguments_sha256,
        cases.c.status.in_(UNFINISHED),
    )
    row = (await connection.execute(same)).mappings().first()
    if row is not None:
        return _case(row), False
    case = Case(case_id=f"evt_{secrets.token_hex(8)}", call=call, status=Status.QUEUED, opened_at=now())
    await connection.execute(
        cases.insert().values(
            case_id=case.case_id,
            principal=call.principal,
            tool_name=call.tool_name,
            arguments=json.dumps(call.arguments),
            arguments_sha256=call.arguments_sha256,
            status=case.status.value,
            opened_at=case.opened_at,
        )
    )
    return case, True


async def read_case(connection: AsyncConnection, case_id: str) -> Case:
    """The case as a transaction sees it; raises CaseNotFound."""
    row = (await connection.execute(_ONE, {"case_id": case_id})).mappings().first()
    if row is None:
        raise CaseNotFound(case_id=case_id)
    return _case(row)


async def transition(connection: AsyncConnection, case: Case, to: Status, **columns: Any) -> None:
    """Move a case on, if it still stands where it was read; raises TransitionRefused."""
    if to not in TRANSITIONS.get(case.status, ()):
        raise TransitionRefused(case_id=case.case_id, status=case.status.value, to=to.value)
    update = (
        cases.update()
        .where(cases.c.case_id == case.case_id, cases.c.status == case.status.value)
        .values(status=to.value, **columns)
    )
    if (await connection.execute(update)).rowcount != 1:
        raise TransitionRefused(case_id=case.case_id, status="no longer " + case.status.value, to=to.value)


async def mark_reported(connection: AsyncConnection, case_id: str) -> None:
    """Note that the workflow has heard how the case ended and needs no more reminders."""
    await connection.execute(cases.update().where(cases.c.case_id == case_id).values(reported_at=now()))


async def insert_assessment(connection: AsyncConnection, case_id: str, assessment: Assessment) -> None:
    """Record the one assessment of a case."""
    await connection.execute(assessments.insert().values(case_id=case_id, **assessment.model_dump()))


async def insert_decision(connection: AsyncConnection, case_id: str, decision: Decision) -> None:
    """Record the one decision of a person on a case."""
    values = decision.model_dump() | {"decision": decision.decision.value}
    await connection.execute(decisions.insert().values(case_id=case_id, **values))


async def insert_outcome(connection: AsyncConnection, case_id: str, outcome: Outcome) -> None:
    """Record how the execution of a case ended."""
    result = None if outcome.result is None else json.dumps(outcome.result, ensure_ascii=False)
    values = outcome.model_dump() | {"result": result}
    await connection.execute(outcomes.insert().values(case_id=case_id, **values))


def _case(row: Any) -> Case:
    return Case(
        case_id=row["case_id"],
        call=ToolCall(
            principal=row["principal"],
            tool_name=row["tool_name"],
            arguments=json.loads(row["arguments"]),
            arguments_sha256=row["arguments_sha256"],
        ),
        status=Status(row["status"]),
        opened_at=row["opened_at"],
        expires_at=row["expires_at"],
        claimed_by=row["claimed_by"],
        reported_at=row["reported_at"],
        assessment=_assessment(row),
        decision=_decision(row),
        outcome=_outcome(row),
    )


def _assessment(row: Any) -> Assessment | None:
    if row["assessments_risk_score"] is None:
        return None
    return Assessment(**{name: row[f"assessments_{name}"] for name in Assessment.model_fields})


def _decision(row: Any) -> Decision | None:
    if row["decisions_decision"] is None:
        return None
    fields = {name: row[f"decisions_{name}"] for name in Decision.model_fields}
    return Decision(**(fields | {"decision": Verdict(fields["decision"])}))


def _outcome(row: Any) -> Outcome | None:
    if row["outcomes_finished_at"] is None:
        return None
    result = row["outcomes_result"]
    return Outcome(
        result=None if result is None else json.loads(result),
        detail=row["outcomes_detail"],
        finished_at=row["outcomes_finished_at"],
    )
