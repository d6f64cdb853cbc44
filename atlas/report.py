"""Stage 5: a run that failed ends its case, so that every agent gets an outcome; agents/ tells it."""

import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.endings import end_case, without_result
from atlas.cases.reviews import request_review
from atlas.cases.store import CaseStore, read_case
from atlas.models import Case, Status
from atlas.settings import Settings

logger = logging.getLogger(__name__)


async def report_failure(
    case_id: str,
    error: str,
    *,
    store: CaseStore,
    tell: Callable[[Case], None],
    settings: Settings,
    give_up: Callable[[str], Awaitable[Case]],
) -> Case:
    """Bring the case of a failed run to an end that the agent can read, or before a person."""
    reason = f"The workflow failed: {error[:500]}"

    def end(connection: Connection) -> Case:
        case = read_case(connection, case_id)
        if case.status is Status.QUEUED or (case.status is Status.AUTHORIZED and case.decision is None):
            return request_review(connection, case, settings.atlas_review_timeout, reason=reason)
        return _fail(connection, case, reason) if case.status is Status.AUTHORIZED else case

    case = await store.change(case_id, end)
    if case.status is Status.PENDING_REVIEW:
        tell(case)
    return await give_up(case_id) if case.status is Status.EXECUTING else case


def _fail(connection: Connection, case: Case, reason: str) -> Case:
    # Without the reason: else anyone who can report a failure could talk to the agent.
    outcome, detail = without_result("Reason: the workflow failed."), {"reason": reason}
    return end_case(connection, case, Status.FAILED, ledger.Action.FAILED, detail=detail, outcome=outcome)
