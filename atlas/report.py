"""Stage 5: the agent asks for the outcome and gets it; and what becomes of a failed run."""

import logging
import math
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_context
from fastmcp.tools import ToolResult
from mcp.types import ToolAnnotations
from pydantic import Field, WithJsonSchema
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas import ledger
from atlas.agents.answers import GET_OUTCOME, LONGEST_WAIT_SECONDS, USUAL_WAIT_SECONDS, outcome_answer
from atlas.agents.held_calls import has_left
from atlas.agents.keys import current_principal
from atlas.cases.store import CaseStore, add_outcome, mark_collected, read_case, transition
from atlas.decide import request_review
from atlas.errors import CaseNotFound
from atlas.instants import now
from atlas.models import Case, Outcome, Status
from atlas.people.notices import Notifier
from atlas.settings import Settings

REFERENCE = re.compile(r"evt_[0-9a-f]{16}")
# Without bounds: what lies outside counts as the nearest bound, and a model that gives 60 needs no error.
ABOUT_GET_OUTCOME = (
    "Tell what became of a call that was answered with a reference: result, refusal, or still waiting.\n\n"
    "Call this instead of the tool: do not reword the call and send it again."
)
WAIT_SECONDS_SCHEMA = {
    "type": "integer",
    "description": f"How many seconds to wait for an outcome, from 0 to {LONGEST_WAIT_SECONDS}; "
    f"{USUAL_WAIT_SECONDS} suits every client, more only one that waits longer for an answer",
}

logger = logging.getLogger(__name__)


def is_final(case: Case) -> bool:
    """Whether a case has ended."""
    return case.status.is_final


def is_settled(case: Case) -> bool:
    """Whether an agent's waiting call is answered now: there is an ending, or a person must decide."""
    return case.status.is_final or case.status is Status.PENDING_REVIEW


def add_get_outcome(server: FastMCP, store: CaseStore) -> None:
    """Offer the one tool that is not governed: it only reads, and only the caller's own cases."""

    @server.tool(
        name=GET_OUTCOME,
        title="Get the outcome of a held call",
        description=ABOUT_GET_OUTCOME,  # and no docstring: see add_welfare_tools
        output_schema=None,
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )
    async def get_outcome(
        ref: Annotated[str, Field(description="The reference from the pending notice: evt_…")],
        wait_seconds: Annotated[Any, WithJsonSchema(WAIT_SECONDS_SCHEMA)] = 0,
    ) -> ToolResult:
        seconds = seconds_to_wait(wait_seconds)
        case = await own_case(store, ref)
        if case is None:
            # Somebody else's reference is answered like one that never was.
            raise ToolError(f"You have no call with the reference {ref}.")
        if not case.status.is_final and seconds:
            with store.watch(case) as watch:
                case = await watch.until(is_final, seconds=seconds)
        if not await has_left(get_context()):
            await hand_over(store, case)
        return outcome_answer(case)


def seconds_to_wait(asked: Any) -> float:
    """How long get_outcome waits: what lies outside of 0 to 25 seconds counts as the nearest, None as 0.

    Raises ToolError for what is no number.
    """
    if isinstance(asked, int) and not isinstance(asked, bool):
        return float(min(max(asked, 0), LONGEST_WAIT_SECONDS))
    try:
        seconds = 0.0 if asked is None or asked == "" else float(asked)
    except (TypeError, ValueError):
        seconds = math.nan
    if math.isnan(seconds) or isinstance(asked, bool):
        raise ToolError(f"wait_seconds has to be a whole number from 0 to {LONGEST_WAIT_SECONDS}.")
    return min(max(seconds, 0.0), float(LONGEST_WAIT_SECONDS))


async def own_case(store: CaseStore, ref: str) -> Case | None:
    """The case of a reference, if whoever makes the present request also made the call."""
    try:
        case = await store.read(ref) if REFERENCE.fullmatch(ref) else None
    except CaseNotFound:
        return None
    return case if case is not None and case.call.principal == current_principal() else None


async def hand_over(
    store: CaseStore, case: Case, *, is_call: bool = False, is_read_only: bool = False
) -> None:
    """Note that an agent gets the ending of its call now; the same call is then a new one.

    The note is on disk before the agent has its answer: else, after a power failure, the same call that was
    meant as a second one would bring the first one's ending. A read-only tool is not answered from an earlier
    case, so that its agent need not wait for the disk.

    What a tool asks the agent can only be handed over, and then answered, where the agent makes its call.
    """
    if not case.status.is_final or case.collected_at is not None:
        return
    if not is_call and case.outcome is not None and case.outcome.asks_for_input:
        return
    note = partial(mark_collected, case=case)
    try:
        await (store.database.write_ahead(note) if is_read_only else store.database.write(note))
    except SQLAlchemyError:
        # The agent gets its result all the same; at worst the same call brings it once more.
        logger.exception("It could not be noted that %s was handed over", case.case_id)


async def report_failure(
    case_id: str,
    error: str,
    *,
    store: CaseStore,
    notifier: Notifier,
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
        notifier.review_requested(case)
    return await give_up(case_id) if case.status is Status.EXECUTING else case


def _fail(connection: Connection, case: Case, reason: str) -> Case:
    # Without the reason: whoever can report a failure could otherwise talk to the agent.
    outcome = Outcome(result=None, detail="Reason: the workflow failed.", finished_at=now())
    case = add_outcome(connection, case, outcome)
    ledger.append(connection, case.case_id, ledger.Action.FAILED, actor="gateway", detail={"reason": reason})
    return transition(connection, case, Status.FAILED, reported_at=now())
