"""The call of an approved case's tool: in the context of its agent, after the last look at the tool."""

import asyncio
from collections.abc import Callable
from functools import partial

from fastmcp import FastMCP
from fastmcp.exceptions import NotFoundError, ToolError
from fastmcp.tools import InputRequiredToolResult
from mcp.types import CallToolResult, InputRequiredResult

from atlas.agents.asked_back import note_question, record_reading
from atlas.agents.held_calls import WaitingAgents
from atlas.agents.keys import caller
from atlas.agents.stopping import stopped
from atlas.cases.outcomes import answer_of, outcome_of, wire_result
from atlas.database.database import Database
from atlas.errors import NotCalled
from atlas.grounds.last_look import AsApproved, LastLook, last_look
from atlas.grounds.reopening import judged_definitions
from atlas.models import NO_TOOL, Case, Outcome, ToolCall

NOT_ASKED = "The gateway could not begin it within {seconds:g} seconds."


class ToolCaller:
    """Calls the tool of a case that was claimed; no call may take longer than some seconds."""

    def __init__(
        self,
        server: FastMCP,
        waiting: WaitingAgents,
        database: Database,
        *,
        seconds: float,
        unknown: Callable[[str], Exception],
    ) -> None:
        self.seconds = seconds
        self._server = server
        server.add_transform(AsApproved())
        self._waiting = waiting
        self._database = database
        self._unknown = unknown

    async def call(self, case: Case) -> Outcome | None:
        """The tool's answer, an error of its own included; None if it did not answer in time.

        Raises NotCalled where the tool has certainly not been called, and AnswerLost where it may have been.
        """
        # After the claim all digests of the case are the same one; an old case has none.
        definition_sha256 = next(iter(judged_definitions(case) - {NO_TOOL}), None)
        look = LastLook(case.call.tool_name, definition_sha256, self._database.lease.confirm)
        try:
            # In the context of the agent that waits, so that what the tool sends reaches it.
            context = self._waiting.context_of(case)
            context.run(last_look.set, look)
            context.run(caller.set, case.call.principal)
            asked = partial(record_reading, database=self._database, principal=case.call.principal)
            context.run(note_question.set, partial(asked, session=case.call.session))
            with self._waiting.stoppable(case) as stop:
                context.run(stopped.set, stop)
                called = context.run(asyncio.create_task, self._result(case.call_in_force))
                result = await asyncio.wait_for(called, self.seconds)
        except asyncio.TimeoutError:
            if not look.is_passed:
                raise NotCalled(reason=NOT_ASKED.format(seconds=self.seconds)) from None
            return None
        except Exception as error:
            result = answer_of(error, was_called=look.is_passed)
        return outcome_of(result)

    async def _result(self, call: ToolCall) -> CallToolResult | InputRequiredResult:
        try:
            result = await self._server.call_tool(call.tool_name, call.arguments, run_middleware=False)
        except NotFoundError as error:
            look = last_look.get()
            if look is not None and look.is_passed:  # the tool itself did not find something
                raise
            raise self._unknown(call.tool_name) from error
        except SystemExit as error:  # which would end the gateway, and not only the tool
            raise ToolError(f"The tool {call.tool_name} tried to end the process.") from error
        if isinstance(result, InputRequiredToolResult):
            return result.input_required
        return wire_result(result.to_mcp_result())
