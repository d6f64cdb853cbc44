"""The tool get_outcome: what became of a call, for the agent that made it."""

import math
from typing import Annotated, Any

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_context
from fastmcp.tools import ToolResult
from mcp.types import ToolAnnotations
from pydantic import Field, WithJsonSchema

from atlas.agents.answers import GET_OUTCOME, LONGEST_WAIT_SECONDS, USUAL_WAIT_SECONDS, outcome_answer
from atlas.agents.held_calls import has_left
from atlas.agents.receipt import hand_over, own_case
from atlas.cases.store import CaseStore
from atlas.cases.watch import is_told

ABOUT = (
    "Tell what became of a call that was answered with a reference: result, refusal, or still waiting.\n\n"
    "Call this instead of the tool: do not reword the call and send it again."
)
# Without bounds: what lies outside counts as the nearest bound, and a model that gives 60 needs no error.
WAIT_SECONDS_SCHEMA = {
    "type": "integer",
    "description": f"How many seconds to wait for an outcome, from 0 to {LONGEST_WAIT_SECONDS}; "
    f"{USUAL_WAIT_SECONDS} suits every client, more only one that waits longer for an answer",
}


def add_get_outcome(server: FastMCP, store: CaseStore) -> None:
    """Offer the one tool that is not governed: it only reads, and only the caller's own cases."""

    @server.tool(
        name=GET_OUTCOME,
        title="Get the outcome of a held call",
        description=ABOUT,  # and no docstring: see add_welfare_tools
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
            # Another agent's reference is answered like one that never existed.
            raise ToolError(f"You have no call with the reference {ref}.")
        if not is_told(case) and seconds:
            with store.watch(case) as watch:
                case = await watch.until(is_told, seconds=seconds)
        if not await has_left(get_context()):
            await hand_over(store, case)
        return outcome_answer(case)


def seconds_to_wait(asked: Any) -> float:
    """How long get_outcome waits: a number outside of 0 to 25 seconds counts as the nearer end, None as 0.

    Raises ToolError for anything but a number.
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
