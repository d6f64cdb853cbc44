"""A case is put before a person, or denied by the policy."""

from datetime import timedelta

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.endings import GATEWAY, end_case, without_result
from atlas.cases.store import transition
from atlas.instants import instant_text, now
from atlas.models import Assessment, Case, Status
from atlas.outbox import notices
from atlas.reviews.deadlines import note_due, plan
from atlas.stop.covering import stop_of


def deny(connection: Connection, case: Case, assessment: Assessment) -> Case:
    """End a case that the policy denies."""
    detail = {"reason": assessment.rationale, "arguments_sha256": assessment.arguments_sha256}
    if case.status is Status.PENDING_REVIEW or case.round_number > 1:  # people were asked
        notices.put(connection, notices.Kind.DECIDED, case=case, content={"decision": Status.DENIED.value})
    return end_case(
        connection,
        case,
        Status.DENIED,
        ledger.Action.DENIED,
        actor=assessment.assessor,
        detail=detail,
        outcome=without_result(assessment.rationale),
    )


def request_review(connection: Connection, case: Case, timeout: timedelta, *, reason: str) -> Case:
    """Put a case before a person, who has until now + timeout, or as long as the policy gives.

    What is due of it before, such as reminders, is written with it.

    Under a stop the time does not run, and no person can approve.
    """
    ruling = case.assessment.ruling if case.assessment else None
    if ruling is not None and ruling.review_seconds is not None:
        timeout = timedelta(seconds=ruling.review_seconds)
    moment = now()
    planned, stop = plan(connection, case, since=moment, timeout=timeout), stop_of(connection, case)
    detail = {"reason": reason, "expires_at": instant_text(planned.expires_at)}
    ledger.append(connection, case.case_id, ledger.Action.REVIEW_REQUESTED, actor=GATEWAY, detail=detail)
    note_due(connection, case, planned)
    until = {"expires_at": planned.expires_at, "frozen_at": moment if stop else None, "stop": stop}
    case = transition(connection, case, Status.PENDING_REVIEW, **until)
    notices.put(connection, notices.Kind.REVIEW_REQUESTED, case=case)
    return case
