"""Says in the log at once what people have to know; the outbox brings it to them by every other way."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from atlas import ledger
from atlas.database.database import Database
from atlas.models import Case, Status, Stop
from atlas.stop.words import told, told_of_lift

logger = logging.getLogger(__name__)


class Notifier:
    """Says that a case needs a person, or that one should know of it; never with the call's arguments.

    What it is told of is in the outbox already, written in the transaction that caused it: `wake` lets the
    courier look there at once.
    """

    def __init__(self, database: Database | None = None, *, wake: Callable[[], None] = lambda: None) -> None:
        self._database = database  # whose ledger says what of the arguments was not checked
        self._wake = wake
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, case: Case) -> None:
        """Tell of a case that waits for a decision, or whose outcome a person has to find out."""
        self._wake()
        if case.status is Status.PENDING_REVIEW:
            self._tell_of_review(case)
        elif case.status is Status.OUTCOME_UNKNOWN:
            logger.error("The outcome of a call is unknown: %s %s", case.case_id, case.call.tool_name)

    def _tell_of_review(self, case: Case) -> None:
        logger.warning(
            "A call waits for a person: %s %s by %s, risk score %s%s%s%s%s",
            case.case_id,
            case.call.tool_name,
            case.call.principal,
            _score(case),
            _judged_again(case),
            f"; {', '.join(case.waiting_before)} waited already" if case.waiting_before else "",
            f"; {told(case.stop, by=case.stop.stopped_by)}" if case.stop else "",
            _target_from_outside(case),
        )
        self._begin(self._tell_what_is_unchecked(case))

    async def _tell_what_is_unchecked(self, case: Case) -> None:
        """Say what the ledger has beside the case."""
        unchecked = await self._not_checked(case)
        if unchecked:
            logger.warning("Of the arguments of %s only the server checks %s", case.case_id, unchecked)

    async def _not_checked(self, case: Case) -> list[str] | None:
        """Where in the arguments something stands that only the server checks; None if it cannot be read."""
        if self._database is None:
            return None
        try:
            admitted = await self._database.read(
                lambda connection: ledger.find(connection, case.case_id, ledger.Action.ADMITTED)
            )
        except SQLAlchemyError as error:  # the log goes without it
            logger.warning("What was not checked of a call cannot be read: %s", type(error).__name__)
            return None
        return list(admitted[1].get("not_checked", ())) if admitted else None

    def tell_of_stop(self, stop: Stop) -> None:
        """Tell that something was stopped, or that the stop was lifted."""
        self._wake()
        said = told(stop, by=stop.stopped_by) if stop.is_in_force else told_of_lift(stop)
        logger.warning("%s: %s", stop.stop_id, said)

    async def close(self) -> None:
        """Stop what is still being read."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(telling)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _score(case: Case) -> str:
    """The score with its class; not where a rule hides both from people until they have made a choice."""
    assessment = case.assessment
    if assessment is None:
        return "None (not assessed)"
    if assessment.ruling is not None and assessment.ruling.review.hides_score:
        return "hidden by a rule"
    return f"{assessment.risk_score} ({assessment.classification})"


def _judged_again(case: Case) -> str:
    """Which round it is that waits, and why; of the first one nothing."""
    if case.round_number == 1:
        return ""
    reason = case.assessment.reopened_because if case.assessment else None
    return f"; round {case.round_number}, judged again: {reason}"


def _target_from_outside(case: Case) -> str:
    """For the log: that what the call acts on came from outside alone, and from which calls; no argument."""
    trace = case.assessment.trace if case.assessment else None
    if trace is None or not trace.has_target_from_outside:
        return ""
    targets = [origin for origin in trace.origins if origin.is_target and origin.is_outside]
    references = dict.fromkeys(origin.found[0].case_id or "a call without a case" for origin in targets)
    return f"; its target came from outside: {', '.join(references)}"
