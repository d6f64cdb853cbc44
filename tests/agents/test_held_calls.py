"""Whose request a tool finds around it, and what becomes of an agent that does not read."""

import asyncio
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

from fastmcp.server.dependencies import fastmcp_request_ctx
from mcp.server.session import ServerSession
from opentelemetry.context import attach, detach
from opentelemetry.propagate import extract, inject
from store import open_case, open_store, tool_call

from atlas.agents.held_calls import ForgivingSession, WaitingAgents
from atlas.models import EVERY_AGENT

request: ContextVar[str] = ContextVar("request", default="no one's")


async def test_a_call_is_executed_in_the_context_of_its_own_request_only(tmp_path: Path) -> None:
    """Neither another call, nor another agent's, nor one that was answered finds the request."""
    async with open_store(tmp_path) as store:
        case = await open_case(store, tool_call(principal=EVERY_AGENT, beneficiary_id="BEN-123"))
        other = await open_case(store, tool_call(principal=EVERY_AGENT, beneficiary_id="BEN-124"))
        waiting = WaitingAgents()
        token = request.set("the agent's")
        with waiting.hold(case):
            request.reset(token)
            foreign = case.model_copy(
                update={"call": case.call.model_copy(update={"principal": "someone else"})}
            )
            seen = [waiting.context_of(one).run(request.get) for one in (case, other, foreign)]
        seen.append(waiting.context_of(case).run(request.get))
    assert seen == ["the agent's", "no one's", "no one's", "no one's"]


async def test_a_tool_finds_nothing_of_its_agents_trace(tmp_path: Path) -> None:
    """It could hold any text, which no one has seen who approved the call."""
    async with open_store(tmp_path) as store:
        case = await open_case(store, tool_call(principal=EVERY_AGENT, beneficiary_id="BEN-123"))
        waiting = WaitingAgents()
        state = {"tracestate": "agent=any text", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
        token = attach(extract(state))
        with waiting.hold(case):
            detach(token)
            sent: dict[str, str] = {}
            waiting.context_of(case).run(inject, sent)
    assert sent == {}


async def test_where_no_one_waits_a_tool_finds_the_call_that_was_recorded(tmp_path: Path) -> None:
    """What it sends goes nowhere, and it finds no credential of anyone."""
    async with open_store(tmp_path) as store:
        call = tool_call(beneficiary_id="BEN-123").model_copy(update={"continuation": {"requestState": "a"}})
        case = await open_case(store, call)
        found = WaitingAgents().context_of(case).run(fastmcp_request_ctx.get)
    assert found is not None and found.request is None and found.meta is None
    assert found._srctx.params == {
        "name": call.tool_name,
        "arguments": call.arguments,
        "requestState": "a",
    }
    await found.session.send_progress_notification("token", 1.0, related_request_id="1")


class Deaf:
    """A session whose client reads nothing."""

    def __init__(self) -> None:
        self.sent = 0

    async def send_log_message(self, **said: Any) -> None:
        """Wait for ever."""
        self.sent += 1
        await asyncio.Event().wait()


async def test_an_agent_that_reads_nothing_holds_its_tool_up_once(tmp_path: Path) -> None:
    """After that it is sent nothing any more."""
    deaf = Deaf()
    session: Any = ForgivingSession(cast(ServerSession, deaf))
    for _ in range(100):
        await asyncio.wait_for(session.send_log_message(level="info", data="a"), 10)
    assert deaf.sent == 1
