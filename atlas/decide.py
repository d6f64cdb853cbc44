"""Stage 3: below the threshold a call is approved by itself; from there a person decides, or time does."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from atlas import ledger
from atlas.cases import CaseStore, insert_decision, mark_reported, read_case, transition
from atlas.database import instant_text, now
from atlas.errors import CaseFinished, ContraryDecision, ReviewExpired
from atlas.models import Case, Decision, Status, Verdict
from atlas.notifications import Notifier
from atlas.settings import Settings


async def decide(case_id: str, *, store: CaseStore, notifier: Notifier, settings: Settings) -> dict[str, Any]:
    """Approve a case by its score, or ask a person; returns {"status", "risk_score", "wait_seconds"}."""
    async with store.change(case_id) as connection:
        case = await read_case(connection, case_id)
        if case.status is Status.QUEUED:
            await _decide_by_score(connection, case, settings.atlas_review_timeout)
        elif case.status is Status.REJECTED:
            await mark_reported(connection, case_id)
        case = await read_case(connection, case_id)
    if case.status is Status.PENDING_REVIEW:
        notifier.review_requested(case)
    return _standing(case)


async def _decide_by_score(connection: AsyncConnection, case: Case, timeout: timedelta) -> None:
    assessment = case.assessment
    if assessment is None:
        await request_review(connection, case, timeout, reason="The call was not assessed.")
    elif assessment.needs_person:
        reason = f"Risk Score [{assessment.risk_score}] is not below {assessment.threshold}."
        await request_review(connection, case, timeout, reason=reason)
    else:
        await transition(connection, case, Status.AUTHORIZED)
        text = f"Auto-approved based on Risk Score [{assessment.risk_score}] per Article 14 Compliance."
        await ledger.append(
            connection,
            case.case_id,
            ledger.Action.AUTO_APPROVED,
            actor=assessment.assessor,
            detail={"text": text, "arguments_sha256": assessment.arguments_sha256},
        )


async def request_review(connection: AsyncConnection, case: Case, timeout: timedelta, *, reason: str) -> None:
    """Put a case before a person, who has until now + timeout."""
    expires_at = now() + timeout
    await transition(connection, case, Status.PENDING_REVIEW, expires_at=expires_at)
    detail = {"reason": reason, "expires_at": instant_text(expires_at)}
    await ledger.append(
        connection, case.case_id, ledger.Action.REVIEW_REQUESTED, actor="gateway", detail=detail
    )


async def conclude(case_id: str, *, store: CaseStore, is_woken: bool) -> dict[str, Any]:
    """See what the case store says after the wait; an event alone decides nothing."""
    async with store.change(case_id) as connection:
        case = await read_case(connection, case_id)
        if case.status is Status.PENDING_REVIEW and _is_overdue(case):
            await _expire(connection, case)
        elif case.status is Status.PENDING_REVIEW and is_woken:
            detail = {"reason": "A decision event came, but no decision is recorded; the wait goes on."}
            await ledger.append(
                connection, case_id, ledger.Action.UNSUPPORTED_DECISION, actor="workflow", detail=detail
            )
        elif case.status is Status.REJECTED:
            await mark_reported(connection, case_id)
        return _standing(await read_case(connection, case_id))


async def _expire(connection: AsyncConnection, case: Case) -> None:
    await transition(connection, case, Status.EXPIRED, reported_at=now())
    detail = {"expires_at": instant_text(case.expires_at)} if case.expires_at else {}
    await ledger.append(connection, case.case_id, ledger.Action.EXPIRED, actor="gateway", detail=detail)


async def record_decision(
    case_id: str, decision: Verdict, *, reviewer: str, reason: str | None, store: CaseStore
) -> Case:
    """Write what a person decided; from the moment it is on disk it holds, whatever the workflow does.

    The same decision again changes nothing.
    Raises CaseNotFound, ContraryDecision, ReviewExpired, CaseFinished.
    """
    async with store.change(case_id) as connection:
        case = await read_case(connection, case_id)
        if case.decision is not None:
            if case.decision.decision is not decision:
                raise ContraryDecision(case_id=case_id, decision=case.decision.decision.value)
            return case
        _check_open(case)
        await _decide_by_person(connection, case, decision, reviewer=reviewer, reason=reason)
        return await read_case(connection, case_id)


def _check_open(case: Case) -> None:
    if case.status is Status.PENDING_REVIEW and _is_overdue(case):
        raise ReviewExpired(case_id=case.case_id, expires_at=case.expires_at)
    if case.status.is_final or case.status is Status.EXECUTING:
        raise CaseFinished(case_id=case.case_id, status=case.status.value)


async def _decide_by_person(
    connection: AsyncConnection, case: Case, verdict: Verdict, *, reviewer: str, reason: str | None
) -> None:
    decision = Decision(
        decision=verdict,
        reviewer=reviewer,
        reason=reason,
        arguments_sha256=case.call.arguments_sha256,
        decided_at=now(),
    )
    await insert_decision(connection, case.case_id, decision)
    to = Status.AUTHORIZED if verdict is Verdict.APPROVED else Status.REJECTED
    if case.status is not to:  # approving what the score had approved already adds a decision, no transition
        await transition(connection, case, to)
    await ledger.append(
        connection,
        case.case_id,
        ledger.Action.APPROVED if verdict is Verdict.APPROVED else ledger.Action.REJECTED,
        actor=reviewer,
        detail={"reason": reason, "arguments_sha256": decision.arguments_sha256},
        at=decision.decided_at,
    )


def _is_overdue(case: Case) -> bool:
    return case.expires_at is not None and now() >= case.expires_at


def _standing(case: Case) -> dict[str, Any]:
    return {
        "status": case.status.value,
        "risk_score": case.assessment.risk_score if case.assessment else None,
        "wait_seconds": _seconds_until(case.expires_at),
    }


def _seconds_until(moment: datetime | None) -> int:
    """Whole seconds, at least one, that lead past a moment."""
    return max(1, int((moment - now()).total_seconds()) + 1) if moment else 1
