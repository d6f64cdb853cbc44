"""How a case ends: its entry in the ledger, its outcome if there is one, and the transition, together."""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.store import add_outcome, transition
from atlas.instants import now
from atlas.models import Case, Outcome, Status
from atlas.outbox import notices

GATEWAY = "gateway"  # the actor, where neither an agent nor a person nor an assessor acts


def end_case(
    connection: Connection,
    case: Case,
    to: Status,
    action: ledger.Action,
    *,
    actor: str = GATEWAY,
    detail: dict[str, Any],
    outcome: Outcome | None = None,
    at: datetime | None = None,
) -> Case:
    """End a case; the workflow needs to hear no more of it. Raises TransitionRefused."""
    ledger.append(connection, case.case_id, action, actor=actor, detail=detail, at=at)
    if outcome is not None:
        case = add_outcome(connection, case, outcome)
    return transition(connection, case, to, reported_at=now())


def without_result(detail: str) -> Outcome:
    """The outcome of a case without an answer of its tool, with what its agent reads about that."""
    return Outcome(result=None, detail=detail, finished_at=now())


def end_uncalled(connection: Connection, case: Case, reason: str) -> Case:
    """End an approved case whose tool was not called."""
    action, detail = ledger.Action.EXECUTION_REFUSED, detail_of_refusal(case, reason.removesuffix("."))
    outcome = without_result(f"Reason: {reason}")
    return end_case(connection, case, Status.FAILED, action, detail=detail, outcome=outcome)


def detail_of_refusal(case: Case, reason: str) -> dict[str, str]:
    """What the ledger has of a call that was not made."""
    return {"status": case.status.value, "reason": reason}


def end_unknown(connection: Connection, case: Case, detail: str) -> Case:
    """End a case of which no one knows whether its tool did what it was called for."""
    notices.put(connection, notices.Kind.OUTCOME_UNKNOWN, case=case)
    return end_case(
        connection,
        case,
        Status.OUTCOME_UNKNOWN,
        ledger.Action.OUTCOME_UNKNOWN,
        detail={"reason": detail},
        outcome=without_result(detail),
    )
