"""A line in the log for each change of state of a call, once it is on disk; without arguments and people."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from atlas.ledger import Act, Action
from atlas.models import Case, Status
from atlas.telemetry.json_lines import FIELDS

# The state in which each act leaves a call; an act that is not here changes none.
STATES = {
    Action.ADMITTED: Status.QUEUED,
    Action.WITHDRAWN: Status.WITHDRAWN,
    Action.AUTO_APPROVED: Status.AUTHORIZED,
    Action.PLAN_USED: Status.AUTHORIZED,
    Action.DENIED: Status.DENIED,
    Action.REVIEW_REQUESTED: Status.PENDING_REVIEW,
    Action.REOPENED: Status.PENDING_REVIEW,
    Action.TAKEN_BACK: Status.PENDING_REVIEW,
    Action.APPROVED: Status.AUTHORIZED,
    Action.REJECTED: Status.REJECTED,
    Action.EXPIRED: Status.EXPIRED,
    Action.EXECUTING: Status.EXECUTING,
    Action.EXECUTED: Status.EXECUTED,
    Action.OUTCOME_UNKNOWN: Status.OUTCOME_UNKNOWN,
    Action.EXECUTION_REFUSED: Status.FAILED,
    Action.FAILED: Status.FAILED,
}
SAID = "A call has another state"

logger = logging.getLogger(__name__)


class StateLog:
    """Hears of changes, and logs those of states."""

    def __init__(self, trace_id: Callable[[str], str | None]) -> None:
        self._trace_id = trace_id

    def join(self, connection: Any, facts: Sequence[Any]) -> None:
        """Nothing of it is in the store."""

    def hear(self, facts: Sequence[Any], result: Any, seconds: float) -> None:
        """Log what a change did to the state of a call."""
        case = _case_in(result)
        for act in facts:
            if isinstance(act, Act) and act.action in STATES:
                is_its_case = case is not None and case.case_id == act.case_id
                self._log(act, case if is_its_case else None)

    def _log(self, act: Act, case: Case | None) -> None:
        status = STATES[act.action]
        if act.action is Action.EXECUTION_REFUSED and case is not None and case.status is not status:
            return  # a request that had no authority: the call stands where it stood
        stage, outcome = act.action.value.split(".")
        fields = {"ref": act.case_id, "status": status.value, "stage": stage, "outcome": outcome}
        if case is not None:
            fields |= {"tool": case.call.tool_name, "agent": case.call.principal}
        if (trace_id := self._trace_id(act.case_id)) is not None:
            fields["trace_id"] = trace_id
        logger.info(SAID, extra={FIELDS: fields})


def _case_in(result: Any) -> Case | None:
    """The case that a change returned, alone or with more."""
    found = result[0] if isinstance(result, tuple) and result else result
    return found if isinstance(found, Case) else None
