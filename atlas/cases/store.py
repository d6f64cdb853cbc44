"""The case store: what is known of every governed call, changed only by checked transitions."""

import json
import secrets
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.definitions import Definition, keep_definition
from atlas.cases.draining import Draining
from atlas.cases.elsewhere import Elsewhere
from atlas.cases.rounds import of_this_round, round_of
from atlas.cases.tables import UNFINISHED, approvals, assessments, cases, decisions, inquiries, outcomes
from atlas.cases.watch import Watches
from atlas.database.database import Database
from atlas.database.dialects import without_order
from atlas.database.facts import note
from atlas.database.hints import hint
from atlas.database.statements import Prepared
from atlas.errors import CaseNotFound, TransitionRefused
from atlas.instants import now
from atlas.models import (
    TRANSITIONS,
    AgentQuestion,
    Approval,
    Assessment,
    Case,
    Decision,
    Edit,
    Inquiry,
    Outcome,
    PlanUse,
    Ruling,
    Status,
    Stop,
    ToolCall,
    Verdict,
)
from atlas.plans.tables import plan_uses, plans
from atlas.reviews.tables import edits, questions
from atlas.stop.covering import stop_of
from atlas.traces import Trace

_DETAILS = (inquiries, assessments, decisions, outcomes)
_OF_PLAN = (
    plan_uses.c.plan_id,
    plan_uses.c.arguments_sha256,
    plan_uses.c.used_at,
    plans.c.made_by,
    plans.c.reason,
)
_EVERYTHING = sa.select(
    cases,
    *(
        column.label(f"{table.name}_{column.name}")
        for table in _DETAILS
        for column in table.c
        if column.name not in ("case_id", "round_number")
    ),
    *(column.label(f"plan_{column.name}") for column in _OF_PLAN),
).select_from(
    cases.outerjoin(inquiries, of_this_round(inquiries))
    .outerjoin(assessments, of_this_round(assessments))
    .outerjoin(decisions, of_this_round(decisions))
    .outerjoin(outcomes, outcomes.c.case_id == cases.c.case_id)
    .outerjoin(plan_uses, of_this_round(plan_uses))
    .outerjoin(plans, plans.c.plan_id == plan_uses.c.plan_id)
)
_NAMES = tuple(_EVERYTHING.selected_columns.keys())
_CALLED = ("principal", "tool_name", "arguments_sha256", "intent", "user_request", "session")
_OPENED = (
    *("case_id", "arguments", "continuation", "status", "opened_at", "definition_sha256", "waiting_before"),
    "held_by",
    *_CALLED,
)
_OPEN = Prepared(cases.insert().values({name: sa.bindparam(name) for name in _OPENED}))
_INSERT = {table: Prepared(table.insert()) for table in _DETAILS}
_CHANGING = (
    *("expires_at", "claimed_by", "reported_at", "definition_sha256", "round_number", "frozen_at"),
    "begins_at",
)
_MOVE = Prepared(
    cases.update()
    .where(cases.c.case_id == sa.bindparam("this"), cases.c.status == sa.bindparam("before"))
    .values({name: sa.bindparam(name) for name in ("status", "shown_score", *_CHANGING)})
)
_SAME_CALL = ("principal", "tool_name", "arguments_sha256")
_OF_CALL = _EVERYTHING.where(*(cases.c[name] == sa.bindparam(name) for name in _SAME_CALL))
_SAME = Prepared(_OF_CALL.where(UNFINISHED))
_NEWEST = Prepared(_OF_CALL.order_by(cases.c.opened_at.desc()).limit(sa.literal_column("1")))
MOST_NAMED = 3  # of the calls that waited before
_WAITING = Prepared(
    sa.select(cases.c.case_id)
    .where(
        *(cases.c[name] == sa.bindparam(name) for name in ("principal", "tool_name")),
        UNFINISHED,
        # A literal: SQLite plans a statement at each run whose values could let it use a partial index.
        # Without order: else PostgreSQL goes through all that waits, for a tool of which nothing waits.
        without_order(cases.c.status) == sa.literal_column(f"'{Status.PENDING_REVIEW.value}'"),
    )
    # The order of the index: else PostgreSQL reads all cases, in the hope to meet some early.
    .order_by(cases.c.arguments_sha256)
    .limit(sa.literal_column(str(MOST_NAMED)))
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
_ONE = Prepared(_EVERYTHING.where(cases.c.case_id == sa.bindparam("case_id")))


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
        query = _EVERYTHING.where(*conditions).order_by(cases.c.status).limit(limit)

        def rows(connection: Connection) -> list[Case]:
            return [_whole(connection, row) for row in connection.execute(query).mappings()]

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


def open_case(
    connection: Connection,
    call: ToolCall,
    definition: Definition | None = None,
    *,
    held_by: str | None = None,
) -> Case:
    """Open a case for a call of which the same transaction knows that no case is unfinished."""
    case = Case(
        case_id=f"evt_{secrets.token_hex(8)}",
        call=call,
        status=Status.QUEUED,
        opened_at=now(),
        definition_sha256=definition.sha256 if definition else None,
        waiting_before=_waiting_now(connection, call),
        held_by=held_by,
    )
    if definition is not None:
        keep_definition(connection, definition)
    opened = case.model_dump(include={"case_id", "opened_at", "definition_sha256", "held_by"})
    opened["status"] = case.status.value
    called = call.model_dump(include=set(_CALLED))
    said = {
        "arguments": json.dumps(call.arguments),
        "continuation": None if call.continuation is None else json.dumps(call.continuation),
        "waiting_before": json.dumps(case.waiting_before) if case.waiting_before else None,
    }
    _OPEN.execute(connection, called | opened | said)
    return case


def unfinished_case(connection: Connection, call: ToolCall) -> Case | None:
    """The case of the same call that has not ended, if there is one; a seeded one gives way."""
    row = _SAME.first(connection, call.model_dump(include=set(_SAME_CALL)))
    case = None if row is None else _whole(connection, dict(zip(_NAMES, row, strict=True)))
    if case is None or not case.is_seeded:
        return case
    _give_way(connection, case)
    return None


def is_unfinished(connection: Connection, call: ToolCall) -> bool:
    """Whether there is a case of the same call, seeded or not, that has not ended."""
    return _SAME.first(connection, call.model_dump(include=set(_SAME_CALL))) is not None


def _give_way(connection: Connection, case: Case) -> None:
    """End a seeded case, because an agent makes this very call now: it is never taken for the agent's."""
    detail = {"reason": "It was seeded, and an agent makes this very call now."}
    ledger.append(connection, case.case_id, ledger.Action.REVEALED, actor="gateway", detail=detail)
    transition(connection, case, Status.EXPIRED)


def _waiting_now(connection: Connection, call: ToolCall) -> tuple[str, ...]:
    """Calls of the same agent and tool that wait for a person; of many, some."""
    asked = call.model_dump(include={"principal", "tool_name"})
    return tuple(str(row[0]) for row in _WAITING.rows(connection, asked))


def newest_case(connection: Connection, call: ToolCall) -> Case | None:
    """The newest case of the same call, finished or not."""
    row = _NEWEST.first(connection, call.model_dump(include=set(_SAME_CALL)))
    return None if row is None else _whole(connection, dict(zip(_NAMES, row, strict=True)))


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
    return _whole(connection, dict(zip(_NAMES, row, strict=True)))


def _whole(connection: Connection, row: Any) -> Case:
    """The case of a row: with its stop if it is frozen, with what a person changed, and what was asked."""
    case = _case(row)
    more: dict[str, Any] = {}
    if case.frozen_at is not None:
        more["stop"] = stop_of(connection, case)
    if row["edited_round"] is not None:
        more["edit"] = _edit(connection, case.case_id, row["edited_round"])
    if row["asked_at"] is not None:
        more["questions"] = _questions(connection, case.case_id)
    return case.model_copy(update=more) if more else case


def _edit(connection: Connection, case_id: str, round_number: int) -> Edit:
    query = edits.select().where(edits.c.case_id == case_id, edits.c.round_number == round_number)
    row = connection.execute(query).mappings().one()
    fields = {name: row[name] for name in Edit.model_fields}
    return Edit(**(fields | {"arguments": json.loads(row["arguments"])}))


def _questions(connection: Connection, case_id: str) -> tuple[AgentQuestion, ...]:
    query = questions.select().where(questions.c.case_id == case_id).order_by(questions.c.question_id)
    rows = connection.execute(query).mappings()
    return tuple(AgentQuestion(**{name: row[name] for name in AgentQuestion.model_fields}) for row in rows)


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


def _case(row: Any) -> Case:
    return Case(
        case_id=row["case_id"],
        call=ToolCall(
            principal=row["principal"],
            tool_name=row["tool_name"],
            arguments=json.loads(row["arguments"]),
            arguments_sha256=row["arguments_sha256"],
            intent=row["intent"],
            user_request=row["user_request"],
            continuation=None if row["continuation"] is None else json.loads(row["continuation"]),
            session=row["session"],
        ),
        status=Status(row["status"]),
        opened_at=row["opened_at"],
        expires_at=row["expires_at"],
        claimed_by=row["claimed_by"],
        held_by=row["held_by"],
        reported_at=row["reported_at"],
        collected_at=row["collected_at"],
        definition_sha256=row["definition_sha256"],
        round_number=row["round_number"],
        waiting_before=tuple(json.loads(row["waiting_before"] or "[]")),
        frozen_at=row["frozen_at"],
        begins_at=row["begins_at"],
        inquiry=_inquiry(row),
        assessment=_assessment(row),
        decision=_decision(row),
        plan=_plan(row),
        outcome=_outcome(row),
    )


def _inquiry(row: Any) -> Inquiry | None:
    if row["inquiries_reference"] is None:
        return None
    return Inquiry(**{name: row[f"inquiries_{name}"] for name in Inquiry.model_fields})


def _assessment(row: Any) -> Assessment | None:
    if row["assessments_risk_score"] is None:
        return None
    fields = {name: row[f"assessments_{name}"] for name in Assessment.model_fields}
    ruling = Ruling.model_validate_json(fields["ruling"]) if fields["ruling"] else None
    trace = Trace.model_validate_json(fields["trace"]) if fields["trace"] else None
    return Assessment(**(fields | {"ruling": ruling, "trace": trace}))


def _decision(row: Any) -> Decision | None:
    if row["decisions_decision"] is None:
        return None
    fields = {name: row[f"decisions_{name}"] for name in Decision.model_fields}
    return Decision(**(fields | {"decision": Verdict(fields["decision"])}))


def _plan(row: Any) -> PlanUse | None:
    if row["plan_plan_id"] is None:
        return None
    return PlanUse(**{name: row[f"plan_{name}"] for name in PlanUse.model_fields})


def _outcome(row: Any) -> Outcome | None:
    if row["outcomes_finished_at"] is None:
        return None
    result = row["outcomes_result"]
    return Outcome(
        result=None if result is None else json.loads(result),
        detail=row["outcomes_detail"],
        finished_at=row["outcomes_finished_at"],
    )
