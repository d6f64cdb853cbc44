"""Stage 5: what the agent reads, be it pending, a result or a refusal; and what becomes of a failed run."""

import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_context
from fastmcp.tools import InputRequiredToolResult, ToolResult
from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import Field
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas import ledger
from atlas.auth import current_principal
from atlas.cases import CaseStore, add_outcome, mark_collected, read_case, transition
from atlas.client_errors import raise_client_error
from atlas.database import now
from atlas.decide import request_review
from atlas.errors import CaseNotFound
from atlas.models import Case, Outcome, Status
from atlas.notifications import Notifier
from atlas.settings import Settings
from atlas.waiting import has_left

REFERENCE = re.compile(r"evt_[0-9a-f]{16}")
GET_OUTCOME = "get_outcome"
LONGEST_WAIT_SECONDS = 25  # clients give up on a call after about a minute

logger = logging.getLogger(__name__)


def is_final(case: Case) -> bool:
    """Whether a case has ended."""
    return case.status.is_final


def is_settled(case: Case) -> bool:
    """Whether an agent's waiting call is answered now: there is an ending, or a person must decide."""
    return case.status.is_final or case.status is Status.PENDING_REVIEW


def answer(case: Case, *, as_text: bool = False) -> ToolResult:
    """What the agent's call returns: the tool's own result, the pending notice, or why there is no result.

    What a tool asks can only be put to the agent in its call; elsewhere it is told as a text.
    """
    result = case.outcome.result if case.outcome else None
    if case.outcome is not None and result is not None and not (as_text and case.outcome.asks_for_input):
        if case.outcome.asks_for_input:
            return InputRequiredToolResult(InputRequiredResult.model_validate(result))
        if not as_text:
            raise_client_error(result)
        return ToolResult.from_mcp_result(CallToolResult.model_validate(result))
    if not case.status.is_final:
        return ToolResult(content=pending_text(case), structured_content=standing(case))
    return ToolResult(content=ending_text(case), structured_content=standing(case), is_error=True)


def pending_text(case: Case) -> str:
    """The notice of a call that is held."""
    return (
        f"PENDING REVIEW (Ref: {case.case_id}). Action queued subject to governance checks.\n"
        f'Nothing has failed and nothing has to be repeated: call {GET_OUTCOME}(ref="{case.case_id}") later.'
    )


PROGRESS = {
    Status.QUEUED: "The call is recorded and waits to be assessed.",
    Status.AUTHORIZED: "The call is approved and about to be executed.",
    Status.EXECUTING: "The call is being executed.",
}


def progress_text(case: Case) -> str:
    """One line on where an unfinished case stands; the pending notice while it waits for a person."""
    if case.status is Status.PENDING_REVIEW:
        return pending_text(case)
    return f"{case.status.value} (Ref: {case.case_id}). {PROGRESS[case.status]} Ask again for its outcome."


def ending_text(case: Case) -> str:
    """One line on how a case ended."""
    reference = f"(Ref: {case.case_id})"
    if case.outcome is not None and case.outcome.asks_for_input:
        again = f"Call {case.call.tool_name} again with the same arguments: then it asks you."
        return f"EXECUTED {reference}. The tool asks for more before it goes on. {again}"
    if case.status is Status.EXECUTED:
        ending = "The tool answered with an error" if case.outcome and case.outcome.is_error else "Done"
        return f"EXECUTED {reference}. {ending}."
    detail = case.outcome.detail if case.outcome and case.outcome.detail else ""
    if case.status is Status.REJECTED and case.decision is not None:
        reason = f" Reason: {case.decision.reason}" if case.decision.reason else ""
        return f"REJECTED {reference}. A person refused this call; it was not executed.{reason}"
    if case.status is Status.DENIED:
        return f"DENIED {reference}. The policy forbids this call, and no person can lift that. {detail}"
    if case.status is Status.WITHDRAWN:
        return f"WITHDRAWN {reference}. You took this call back; it was not executed."
    if case.status is Status.EXPIRED:
        return f"EXPIRED {reference}. Nobody decided in time; the call was not executed."
    if case.status is Status.OUTCOME_UNKNOWN:
        return (
            f"OUTCOME UNKNOWN {reference}. The call was begun and may or may not have taken effect; "
            f"it is not repeated, and a person was told. {detail}"
        )
    return f"{case.status.value} {reference}. {detail}"


def standing(case: Case) -> dict[str, Any]:
    """Where a case stands, for machines: {"case_id", "status", "risk_score"}, and the reviewer's words."""
    facts: dict[str, Any] = {
        "case_id": case.case_id,
        "status": case.status.value,
        "risk_score": case.assessment.risk_score if case.assessment else None,
    }
    if case.decision is not None:
        facts |= {"decision": case.decision.decision.value, "reason": case.decision.reason}
    return facts


def add_get_outcome(server: FastMCP, store: CaseStore) -> None:
    """Offer the one tool that is not governed: it only reads, and only the caller's own cases."""

    @server.tool(
        name=GET_OUTCOME,
        title="Get the outcome of a held call",
        output_schema=None,
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )
    async def get_outcome(
        ref: Annotated[str, Field(description="The reference from the pending notice: evt_…")],
        wait_seconds: Annotated[
            int, Field(description="How long to wait for an outcome", ge=0, le=LONGEST_WAIT_SECONDS)
        ] = 0,
    ) -> ToolResult:
        """Tell what became of a call that was answered PENDING REVIEW: result, refusal, or still waiting."""
        case = await own_case(store, ref)
        if case is None:
            # Somebody else's reference is answered like one that never was.
            raise ToolError(f"You have no call with the reference {ref}.")
        if not case.status.is_final and wait_seconds:
            with store.watch(case) as watch:
                case = await watch.until(is_final, seconds=wait_seconds)
        if not await has_left(get_context()):
            await hand_over(store, case)
        return outcome_answer(case)


def outcome_answer(case: Case) -> ToolResult:
    """What get_outcome says: the state in the first line, then the tool's own content if there is any."""
    if not case.status.is_final:
        return ToolResult(content=progress_text(case), structured_content=standing(case))
    facts, content = standing(case), [TextContent(type="text", text=ending_text(case))]
    result = case.outcome.result if case.outcome else None
    if result is None or (case.outcome and case.outcome.asks_for_input):
        return ToolResult(content=content, structured_content=facts, is_error=True)
    parsed = CallToolResult.model_validate(result)
    return ToolResult(
        content=[*content, *parsed.content],
        structured_content=facts | {"result": result},
        is_error=bool(parsed.is_error),
    )


async def own_case(store: CaseStore, ref: str) -> Case | None:
    """The case of a reference, if whoever makes the present request also made the call."""
    try:
        case = await store.read(ref) if REFERENCE.fullmatch(ref) else None
    except CaseNotFound:
        return None
    return case if case is not None and case.call.principal == current_principal() else None


async def hand_over(store: CaseStore, case: Case, *, is_call: bool = False) -> None:
    """Note that an agent gets the ending of its call now; the same call is then a new one.

    The agent does not wait for the disk: the same call finds the note before it is there. If the process ends
    first, that call brings the ending once more, and executes nothing.

    What a tool asks the agent can only be handed over, and then answered, where the agent makes its call.
    """
    if not case.status.is_final or case.collected_at is not None:
        return
    if not is_call and case.outcome is not None and case.outcome.asks_for_input:
        return
    try:
        await store.database.write_ahead(partial(mark_collected, case=case))
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
    outcome = Outcome(
        result=None, detail="The workflow failed; the call was not executed.", finished_at=now()
    )
    case = add_outcome(connection, case, outcome)
    ledger.append(connection, case.case_id, ledger.Action.FAILED, actor="gateway", detail={"reason": reason})
    return transition(connection, case, Status.FAILED, reported_at=now())
