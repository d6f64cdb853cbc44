"""Stage 3: below the threshold a call is approved by itself; from there a person decides, or time does."""

from datetime import timedelta

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases import CaseStore, add_decision, mark_reported, read_case, transition
from atlas.database import instant_text, now
from atlas.errors import CaseFinished, ContraryDecision, ReviewExpired
from atlas.models import Case, Decision, Status, Verdict


def decide_by_score(connection: Connection, case: Case, *, timeout: timedelta) -> Case:
    """Approve a queued case whose score is below the threshold, or put it before a person."""
    if case.status is Status.REJECTED:
        return mark_reported(connection, case)
    if case.status is not Status.QUEUED:
        return case
    assessment = case.assessment
    if assessment is None:
        return request_review(connection, case, timeout, reason="The call was not assessed.")
    if assessment.needs_person:
        reason = f"Risk Score [{assessment.risk_score}] is not below {assessment.threshold}."
        return request_review(connection, case, timeout, reason=reason)
    text = f"Auto-approved based on Risk Score [{assessment.risk_score}] per Article 14 Compliance."
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.AUTO_APPROVED,
        actor=assessment.assessor,
        detail={"text": text, "arguments_sha256": assessment.arguments_sha256},
    )
    return transition(connection, case, Status.AUTHORIZED)


def request_review(connection: Connection, case: Case, timeout: timedelta, *, reason: str) -> Case:
    """Put a case before a person, who has until now + timeout."""
    expires_at = now() + timeout
    detail = {"reason": reason, "expires_at": instant_text(expires_at)}
    ledger.append(connection, case.case_id, ledger.Action.REVIEW_REQUESTED, actor="gateway", detail=detail)
    return transition(connection, case, Status.PENDING_REVIEW, expires_at=expires_at)


async def decide_after_wait(case_id: str, *, store: CaseStore, is_woken: bool) -> Case:
    """See what the case store says after the wait; an event alone decides nothing."""

    def look(connection: Connection) -> Case:
        case = read_case(connection, case_id)
        if case.status is Status.PENDING_REVIEW and _is_overdue(case):
            return _expire(connection, case)
        if case.status is Status.PENDING_REVIEW and is_woken:
            detail = {"reason": "A decision event came, but no decision is recorded; the wait goes on."}
            ledger.append(
                connection, case_id, ledger.Action.UNSUPPORTED_DECISION, actor="workflow", detail=detail
            )
        return mark_reported(connection, case) if case.status is Status.REJECTED else case

    return await store.change(case_id, look)


def _expire(connection: Connection, case: Case) -> Case:
    detail = {"expires_at": instant_text(case.expires_at)} if case.expires_at else {}
    ledger.append(connection, case.case_id, ledger.Action.EXPIRED, actor="gateway", detail=detail)
    return transition(connection, case, Status.EXPIRED, reported_at=now())


async def record_decision(
    case_id: str, decision: Verdict, *, reviewer: str, reason: str | None, store: CaseStore
) -> Case:
    """Write what a person decided; from the moment it is on disk it holds, whatever the workflow does.

    The same decision again changes nothing.
    Raises CaseNotFound, ContraryDecision, ReviewExpired, CaseFinished.
    """

    def record(connection: Connection) -> Case:
        case = read_case(connection, case_id)
        if case.decision is None:
            _check_open(case)
            return _decide_by_person(connection, case, decision, reviewer=reviewer, reason=reason)
        if case.decision.decision is not decision:
            raise ContraryDecision(case_id=case_id, decision=case.decision.decision.value)
        return case

    return await store.change(case_id, record)


def _check_open(case: Case) -> None:
    if case.status is Status.PENDING_REVIEW and _is_overdue(case):
        raise ReviewExpired(case_id=case.case_id, expires_at=case.expires_at)
    if case.status.is_final or case.status is Status.EXECUTING:
        raise CaseFinished(case_id=case.case_id, status=case.status.value)


def _decide_by_person(
    connection: Connection, case: Case, verdict: Verdict, *, reviewer: str, reason: str | None
) -> Case:
    decision = Decision(
        decision=verdict,
        reviewer=reviewer,
        reason=reason,
        arguments_sha256=case.call.arguments_sha256,
        decided_at=now(),
    )
    case = add_decision(connection, case, decision)
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.APPROVED if verdict is Verdict.APPROVED else ledger.Action.REJECTED,
        actor=reviewer,
        detail={"reason": reason, "arguments_sha256": decision.arguments_sha256},
        at=decision.decided_at,
    )
    to = Status.AUTHORIZED if verdict is Verdict.APPROVED else Status.REJECTED
    # Approving what the score has approved already adds a decision, but no transition.
    return case if case.status is to else transition(connection, case, to)


def _is_overdue(case: Case) -> bool:
    return case.expires_at is not None and now() >= case.expires_at
