"""How a case is read: one row with all that is known of it, and what a few cases have beside it."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.attention.tables import seeded_cases
from atlas.cases.rounds import of_this_round
from atlas.cases.tables import assessments, cases, decisions, inquiries, outcomes
from atlas.models import (
    AgentQuestion,
    Assessment,
    Case,
    Decision,
    Edit,
    Inquiry,
    Outcome,
    PlanUse,
    Ruling,
    Status,
    ToolCall,
    Verdict,
)
from atlas.plans.tables import plan_uses, plans
from atlas.reviews.tables import edits, questions
from atlas.stop.covering import stop_of
from atlas.traces import Trace

DETAILS = (inquiries, assessments, decisions, outcomes)
_OF_PLAN = (
    plan_uses.c.plan_id,
    plan_uses.c.arguments_sha256,
    plan_uses.c.used_at,
    plans.c.made_by,
    plans.c.reason,
)
EVERYTHING = sa.select(
    cases,
    *(
        column.label(f"{table.name}_{column.name}")
        for table in DETAILS
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
NAMES = tuple(EVERYTHING.selected_columns.keys())


def case_of(connection: Connection, values: Sequence[Any]) -> Case:
    """The case of a row of EVERYTHING, by place."""
    return named_case(connection, dict(zip(NAMES, values, strict=True)))


def named_case(connection: Connection, row: Any) -> Case:
    """The case of such a row by name; with its stop, what was changed, asked, and waited before."""
    case = _case(row)
    more: dict[str, Any] = {}
    if case.frozen_at is not None:
        more["stop"] = stop_of(connection, case)
    if row["edited_round"] is not None:
        more["edit"] = _edit(connection, case.case_id, row["edited_round"])
    if case.waiting_before:
        more["told_before"] = made_by_agents(connection, case.waiting_before)
    if row["asked_at"] is not None:
        more["questions"] = _questions(connection, case.case_id)
    return case.model_copy(update=more) if more else case


def made_by_agents(connection: Connection, case_ids: Sequence[str]) -> tuple[str, ...]:
    """Those of some cases that the gateway did not seed."""
    if not case_ids:
        return ()
    seeded = sa.select(seeded_cases.c.case_id).where(seeded_cases.c.case_id.in_(case_ids))
    others = set(connection.execute(seeded).scalars())
    return tuple(case_id for case_id in case_ids if case_id not in others)


def _edit(connection: Connection, case_id: str, round_number: int) -> Edit:
    query = edits.select().where(edits.c.case_id == case_id, edits.c.round_number == round_number)
    row = connection.execute(query).mappings().one()
    fields = {name: row[name] for name in Edit.model_fields}
    return Edit(**(fields | {"arguments": json.loads(row["arguments"])}))


def _questions(connection: Connection, case_id: str) -> tuple[AgentQuestion, ...]:
    query = questions.select().where(questions.c.case_id == case_id).order_by(questions.c.question_id)
    rows = connection.execute(query).mappings()
    return tuple(AgentQuestion(**{name: row[name] for name in AgentQuestion.model_fields}) for row in rows)


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
