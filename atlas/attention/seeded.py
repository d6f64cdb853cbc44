"""A seeded case: known to be bad, like any other to those who decide, never executed, revealed afterwards.

No transition leads it to an execution, no entry of the ledger says that an agent made it, no agent sees it.
"""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.attention.tables import seeded_cases
from atlas.cases.endings import GATEWAY, end_case, without_result
from atlas.cases.judgements import record_assessment
from atlas.cases.opening import is_unfinished, open_case
from atlas.cases.reviews import request_review
from atlas.cases.store import read_case
from atlas.cases.tables import SEEDED_WAITING, cases
from atlas.instants import instant_text, now
from atlas.ledger import Action
from atlas.models import SEEDED, Assessment, Case, Status, ToolCall
from atlas.plans.plan import plans_about

REVEALED = (
    "This call was seeded: no agent made it, and no tool was called. It was put before people to see whether "
    "they look. What is wrong with it: {why}"
)


def seed(
    connection: Connection, call: ToolCall, ruled: Assessment, *, why: str, timeout: timedelta
) -> Case | None:
    """Put a seeded case before people; None where the same call waits, or is not for people to decide.

    Nor while a plan is about such calls of the agent: one that waits although the plan fits would be known.
    """
    if ruled.is_denied or not ruled.needs_person or ruled.definition_sha256 is None:
        return None
    if plans_about(connection, tool_name=call.tool_name, principal=call.principal):
        return None
    if is_unfinished(connection, call):
        return None
    case = open_case(connection, call)
    made_at = case.opened_at
    hidden = {"claimed_by": SEEDED, "collected_at": made_at, "reported_at": made_at}
    kept = hidden | {"definition_sha256": ruled.definition_sha256}
    connection.execute(cases.update().where(cases.c.case_id == case.case_id).values(kept))
    values = {"case_id": case.case_id, "why": why, "made_at": made_at}
    connection.execute(seeded_cases.insert().values(values))
    detail = _as_admitted(case, ruled) | {"agent": call.principal, "why": why}
    ledger.append(connection, case.case_id, Action.SEEDED, actor=GATEWAY, detail=detail, at=made_at)
    judged = ruled.model_copy(update={"assessed_at": now()})  # else it were judged before it came
    case = record_assessment(connection, read_case(connection, case.case_id), judged)
    reason = f"Risk Score [{ruled.risk_score}] is not below {ruled.threshold}."
    return request_review(connection, case, timeout, reason=reason)


def reveal(connection: Connection, case: Case, *, to: Status) -> Case:
    """End a seeded case, with what was wrong with it; what a person approved of it is never executed."""
    why = connection.scalar(sa.select(seeded_cases.c.why).where(seeded_cases.c.case_id == case.case_id))
    said = case.decision.decision.value if case.decision else None
    return end_case(
        connection,
        case,
        to,
        Action.REVEALED,
        detail={"said": said, "why": why},
        outcome=without_result(REVEALED.format(why=why)),
    )


def overdue(connection: Connection) -> list[str]:
    """The references of the seeded cases whose time to decide is over; under a stop it does not run."""
    is_over = (SEEDED_WAITING, cases.c.expires_at <= now(), cases.c.frozen_at.is_(None))
    return list(connection.scalars(sa.select(cases.c.case_id).where(*is_over)))


def expire_overdue(connection: Connection) -> list[Case]:
    """End the seeded cases whose time to decide is over, as other cases end."""
    ended = []
    for case_id in overdue(connection):
        case = read_case(connection, case_id)
        detail = {"expires_at": instant_text(case.expires_at)} if case.expires_at else {}
        ledger.append(connection, case_id, Action.EXPIRED, actor=GATEWAY, detail=detail)
        ended.append(reveal(connection, case, to=Status.EXPIRED))
    return ended


def as_others(connection: Connection, case: Case, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of a case that waits, of which none tells whether it is seeded.

    A hash would tell it by what it is made of: where there are seeded cases, none that waits shows hashes.
    """
    if case.status is not Status.PENDING_REVIEW or not _has_seeded(connection):
        return entries
    unhashed = {"entry_hash": "", "previous_hash": ""}
    return [
        (_disguised(entry) if entry["action"] == Action.SEEDED.value else entry) | unhashed
        for entry in entries
    ]


def _disguised(entry: dict[str, Any]) -> dict[str, Any]:
    detail = {name: value for name, value in entry["detail"].items() if name not in ("agent", "why")}
    admitted = {"action": Action.ADMITTED.value, "actor": entry["detail"]["agent"], "detail": detail}
    return entry | admitted


def _has_seeded(connection: Connection) -> bool:
    return connection.execute(sa.select(seeded_cases.c.case_id).limit(1)).first() is not None


def _as_admitted(case: Case, ruled: Assessment) -> dict[str, Any]:
    call = case.call
    detail: dict[str, Any] = {
        "tool_name": call.tool_name,
        "arguments_sha256": call.arguments_sha256,
        "definition_sha256": ruled.definition_sha256,
    }
    return detail | ({"waiting_before": list(case.waiting_before)} if case.waiting_before else {})
