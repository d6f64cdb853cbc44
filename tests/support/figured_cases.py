"""Cases with every ending, written by the gateway's own functions, at the moments that a test wants."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection
from store import assessment_of, insert_case, tool_call

from atlas import ledger
from atlas.cases.endings import end_case
from atlas.cases.judgements import record_assessment
from atlas.cases.store import add_decision, add_outcome, read_case, transition
from atlas.cases.tables import cases
from atlas.models import Case, Decision, Outcome, Status, Verdict

BADLY = {"content": [{"type": "text", "text": "no"}], "isError": True}
WELL = {"content": [{"type": "text", "text": "done"}], "isError": False}


@dataclass(frozen=True)
class Told:
    """What became of a call."""

    status: Status
    opened_at: datetime
    tool: str = "pay"
    agent: str = "agent"
    score: int = 80
    reviewer: str | None = None
    after: timedelta = timedelta(minutes=5)  # from the call to the decision
    reason: str | None = None
    detail: str | None = None
    is_tool_error: bool = False


def write(connection: Connection, told: Told, number: int) -> Case:
    """Write one case down, as the gateway would, at its moments."""
    case, is_new = insert_case(connection, tool_call(told.tool, told.agent, number=number))
    assert is_new
    case_id = case.case_id
    ledger.append(connection, case_id, ledger.Action.ADMITTED, actor=told.agent, detail={})
    case = record_assessment(connection, case, assessment_of(case.call, told.score))
    case = _on_its_way(connection, case, told)
    moments = {"opened_at": told.opened_at}
    if case.status.is_final and case.reported_at is None:
        moments["reported_at"] = told.opened_at + told.after  # else a gateway that starts goes on with it
    connection.execute(cases.update().where(cases.c.case_id == case_id).values(moments))
    return read_case(connection, case_id)


def _on_its_way(connection: Connection, case: Case, told: Told) -> Case:
    if told.status is Status.QUEUED:
        return case
    if told.status is Status.WITHDRAWN:
        return end_case(connection, case, Status.WITHDRAWN, ledger.Action.WITHDRAWN, detail={})
    if told.status is Status.DENIED:
        return _ended(connection, case, told, ledger.Action.DENIED)
    if told.score >= 70:
        until = told.opened_at + timedelta(days=1)
        case = transition(connection, case, Status.PENDING_REVIEW, expires_at=until)
    if told.status is Status.PENDING_REVIEW:
        return case
    if told.status is Status.EXPIRED:
        return end_case(connection, case, Status.EXPIRED, ledger.Action.EXPIRED, detail={})
    if told.reviewer is not None:
        case = add_decision(connection, case, _decision(case, told))
    if told.status is Status.REJECTED:
        return transition(connection, case, Status.REJECTED)
    case = transition(connection, case, Status.AUTHORIZED)
    if told.status is Status.FAILED:
        return _ended(connection, case, told, ledger.Action.FAILED)
    if told.status is Status.AUTHORIZED:
        return case
    case = transition(connection, case, Status.EXECUTING)
    if told.status is Status.EXECUTED:
        result = BADLY if told.is_tool_error else WELL
        case = add_outcome(
            connection, case, Outcome(result=result, detail=None, finished_at=told.opened_at + told.after)
        )
        return transition(connection, case, Status.EXECUTED)
    return (
        case
        if told.status is Status.EXECUTING
        else _ended(connection, case, told, ledger.Action.OUTCOME_UNKNOWN)
    )


def _ended(connection: Connection, case: Case, told: Told, action: ledger.Action) -> Case:
    outcome = Outcome(result=None, detail=told.detail, finished_at=told.opened_at + told.after)
    return end_case(connection, case, told.status, action, detail={}, outcome=outcome)


def _decision(case: Case, told: Told) -> Decision:
    assert told.reviewer is not None
    verdict = Verdict.REJECTED if told.status is Status.REJECTED else Verdict.APPROVED
    return Decision(
        decision=verdict,
        reviewer=told.reviewer,
        reason=told.reason,
        arguments_sha256=case.call.arguments_sha256,
        decided_at=told.opened_at + told.after,
    )
