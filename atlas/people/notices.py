"""Tells the reviewer: a log line always, and a POST to ATLAS_NOTIFY_URL where one is set."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import httpx
from sqlalchemy.exc import SQLAlchemyError

from atlas import ledger
from atlas.database.sqlite import Database
from atlas.instants import instant_text
from atlas.models import Case, Status, Stop, plain_text
from atlas.proxies import proxy_of
from atlas.settings import Settings, variables
from atlas.stop.words import told, told_of_lift
from atlas.traces import Origin, Trace

ATTEMPTS = 3
TIMEOUT_SECONDS = 5.0
MOST_ORIGINS = 20  # arguments from outside that a notice names
LONGEST_PATH = 200  # characters

logger = logging.getLogger(__name__)


class Notifier:
    """Says that a case needs a person, or that one should know of it; never with the call's arguments."""

    def __init__(self, settings: Settings, database: Database | None = None) -> None:
        self._database = database  # whose ledger says what of the arguments was not checked
        self._url = str(settings.atlas_notify_url) if settings.atlas_notify_url else None
        self._proxy = proxy_of(self._url, variables()) if self._url else None
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, case: Case) -> None:
        """Tell of a case that waits for a decision, or whose outcome a person has to find out."""
        if case.status is Status.PENDING_REVIEW:
            self._tell_of_review(case)
        elif case.status is Status.OUTCOME_UNKNOWN:
            self._tell_of_unknown_outcome(case)

    def _tell_of_review(self, case: Case) -> None:
        logger.warning(
            "A call waits for a person: %s %s by %s, risk score %s (%s)%s%s%s%s",
            case.case_id,
            case.call.tool_name,
            case.call.principal,
            case.assessment.risk_score if case.assessment else None,
            case.assessment.classification if case.assessment else "not assessed",
            _judged_again(case),
            f"; {', '.join(case.waiting_before)} waited already" if case.waiting_before else "",
            f"; {told(case.stop, by=case.stop.stopped_by)}" if case.stop else "",
            _target_from_outside(case),
        )
        self._begin(self._tell_the_rest(case))

    async def _tell_the_rest(self, case: Case) -> None:
        """Say what the ledger has beside the case, and send the notice."""
        unchecked = await self._not_checked(case)
        if unchecked:
            logger.warning("Of the arguments of %s only the server checks %s", case.case_id, unchecked)
        await self._deliver(_message("review_requested", case) | {"not_checked": unchecked})

    async def _not_checked(self, case: Case) -> list[str] | None:
        """Where in the arguments something stands that only the server checks; None if it cannot be read."""
        if self._database is None:
            return None
        try:
            admitted = await self._database.read(
                lambda connection: ledger.find(connection, case.case_id, ledger.Action.ADMITTED)
            )
        except SQLAlchemyError as error:  # the notice goes out without it
            logger.warning("What was not checked of a call cannot be read: %s", type(error).__name__)
            return None
        return list(admitted[1].get("not_checked", ())) if admitted else None

    def _tell_of_unknown_outcome(self, case: Case) -> None:
        logger.error("The outcome of a call is unknown: %s %s", case.case_id, case.call.tool_name)
        self._begin(self._deliver(_message("outcome_unknown", case)))

    def tell_of_stop(self, stop: Stop) -> None:
        """Tell that something was stopped, or that the stop was lifted."""
        said = told(stop, by=stop.stopped_by) if stop.is_in_force else told_of_lift(stop)
        logger.warning("%s: %s", stop.stop_id, said)
        self._begin(self._deliver(_message_of_stop(stop)))

    async def finish(self) -> None:
        """Wait until what is being sent has arrived, or was given up."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Stop what is still being sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(telling)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, message: dict[str, Any]) -> None:
        if self._url is None:
            return
        way = httpx.AsyncHTTPTransport(proxy=self._proxy)
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, transport=way) as client:
            for attempt in range(ATTEMPTS):
                try:
                    (await client.post(self._url, json=message)).raise_for_status()
                    return
                except httpx.HTTPError as error:
                    logger.warning("The reviewer's URL did not take a notice: %s", type(error).__name__)
                    await asyncio.sleep(2**attempt)


def _message_of_stop(stop: Stop) -> dict[str, Any]:
    kind = "stopped" if stop.is_in_force else "stop_lifted"
    return {"kind": kind} | stop.model_dump(mode="json")


def _judged_again(case: Case) -> str:
    """Which round it is that waits, and why; of the first one nothing."""
    if case.round_number == 1:
        return ""
    reason = case.assessment.reopened_because if case.assessment else None
    return f"; round {case.round_number}, judged again: {reason}"


def _message(kind: str, case: Case) -> dict[str, Any]:
    return {
        "kind": kind,
        "event_id": case.case_id,
        "round": case.round_number,
        "tool_name": case.call.tool_name,
        "principal": case.call.principal,
        "risk_score": case.assessment.risk_score if case.assessment else None,
        "agent_claims": {name: plain_text(text) for name, text in case.call.claims.items()},
        "waiting_before": list(case.waiting_before),
        "reopened_because": case.assessment.reopened_because if case.assessment else None,
        "origins": _origins(case.assessment.trace) if case.assessment and case.assessment.trace else None,
        "expires_at": instant_text(case.expires_at) if case.expires_at else None,
        "frozen_at": instant_text(case.frozen_at) if case.frozen_at else None,
    }


def _target_from_outside(case: Case) -> str:
    """For the log: that what the call acts on came from outside alone, and from which calls; no argument."""
    trace = case.assessment.trace if case.assessment else None
    if trace is None or not trace.has_target_from_outside:
        return ""
    targets = [origin for origin in trace.origins if origin.is_target and origin.is_outside]
    references = dict.fromkeys(origin.found[0].case_id or "a call without a case" for origin in targets)
    return f"; its target came from outside: {', '.join(references)}"


def _origins(trace: Trace) -> dict[str, Any]:
    """Which arguments came from outside, by their paths and the calls; neither values nor passages."""
    outside = [origin for origin in trace.origins if origin.is_outside]
    return {
        "from_outside": [_from_outside(origin) for origin in outside[:MOST_ORIGINS]],
        "left_out": max(0, len(outside) - MOST_ORIGINS),
        "orders": [{"kind": order.kind, "event_id": order.case_id} for order in trace.orders],
        "is_request_known": trace.is_request_known,
        "is_complete": trace.is_complete,
    }


def _from_outside(origin: Origin) -> dict[str, Any]:
    place = origin.found[0]
    return {
        "path": plain_text(origin.path)[:LONGEST_PATH],
        "is_target": origin.is_target,
        "tool_name": plain_text(place.tool_name),
        "event_id": place.case_id,
        "gives_orders": place.gives_orders,
    }
