"""How the execution of a call begins, or is refused: the ledger and the case in one transaction."""

import logging
from typing import Any

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.endings import GATEWAY, detail_of_refusal, end_uncalled, end_unknown
from atlas.cases.store import claim_again, mark_reported, transition
from atlas.models import Case, Status

logger = logging.getLogger(__name__)


def take(connection: Connection, case: Case, process_id: str, *, is_repeated: bool = False) -> Case:
    """Begin to execute a case, or go on with one that another process had begun."""
    detail: dict[str, Any] = {
        "arguments_sha256": case.call_in_force.arguments_sha256,
        "definition_sha256": case.definition_sha256,
    }
    if is_repeated:
        detail["repeated"] = True
    ledger.append(connection, case.case_id, ledger.Action.EXECUTING, actor=GATEWAY, detail=detail)
    if is_repeated:
        return claim_again(connection, case, process_id)
    return transition(connection, case, Status.EXECUTING, claimed_by=process_id)


def refuse(connection: Connection, case: Case, reason: str) -> Case:
    """Note that a case may not be executed; what has begun and is not at work any more is given up."""
    if case.status is Status.EXECUTING:
        return end_unknown(connection, case, "It was begun, and its answer was not kept.")
    if case.status.may_have_run or case.status is Status.FAILED:
        return case  # a repeated request: the ending is on record
    if case.round_number > 1 and case.status is not Status.AUTHORIZED:
        # The run of a case that was sent back is replayed through here, to where it waits again.
        return mark_reported(connection, case) if case.status is Status.REJECTED else case
    logger.error("An execution was refused: %s", case.case_id)
    if case.status is Status.AUTHORIZED:
        return end_uncalled(connection, case, f"{reason}.")
    action, detail = ledger.Action.EXECUTION_REFUSED, detail_of_refusal(case, reason)
    ledger.append(connection, case.case_id, action, actor=GATEWAY, detail=detail)
    return case
