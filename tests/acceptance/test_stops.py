"""An agent that stops its call: it is taken back while undecided; a line that is lost is no stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from acceptance.task_client import start, task_client
from acceptance.test_told_truly import WAYS, agent_by, behind
from gateway_process import (
    AGENT_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    status_of,
    text_of,
    waiting_case,
)
from raw_session import HANDSHAKE
from starlette.responses import StreamingResponse
from upstream_by_hand import ByHand, event, tool


async def until_status(gateway: GatewayProcess, case_id: str, status: str) -> None:
    """Wait until a case stands there, without asking as its agent."""

    async def is_there() -> bool:
        return status_of(gateway, case_id) == status

    await eventually(is_there)


@WAYS
async def test_a_stop_takes_back_what_no_one_has_decided(tmp_path: Path, way: str) -> None:
    """Right: the user said stop, so an approval a second later must not execute it. The signal is
    `notifications/cancelled`, and in 2026-07-28 the end of the request. A second call is a new case."""
    server = ByHand(tools=[tool("do")])
    async with (
        behind(tmp_path, server, ATLAS_REVIEW_GRACE_SECONDS="20") as gateway,
        agent_by(gateway, way) as agent,
    ):
        asked = asyncio.create_task(call(agent, "far_do", text="stop me"))
        case_id = await waiting_case(gateway, "stop me")
        asked.cancel()
        await until_status(gateway, case_id, "WITHDRAWN")
        late = await gateway.decide(case_id)
        assert (late.status_code, late.json()["error"]) == (409, "CaseFinished")
        told = await outcome(agent, case_id)
        assert text_of(told).startswith(f"WITHDRAWN (Ref: {case_id}). You took this call back")
        asked = asyncio.create_task(call(agent, "far_do", text="stop me"))
        assert await waiting_case(gateway, "stop me") != case_id
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    assert "tools/call" not in server.asked


@WAYS
async def test_an_agent_that_leaves_with_its_reference_has_stopped_nothing(tmp_path: Path, way: str) -> None:
    """Right: agents fetch outcomes later; the end of a session or of a connection is no stop."""
    server = ByHand(tools=[tool("do")])
    server.answer = lambda message: DONE if message["method"] == "tools/call" else None
    async with behind(tmp_path, server) as gateway:
        async with agent_by(gateway, way) as agent:
            case_id = reference_in(await call(agent, "far_do"))
        assert (await gateway.decide(case_id)).is_success
        async with agent_by(gateway, way) as agent:
            assert "done" in text_of(await outcome(agent, case_id))


DONE = {"result": {"content": [{"type": "text", "text": "done"}]}}


@contextlib.asynccontextmanager
async def raw_sse(gateway: GatewayProcess, asked: dict[str, Any]) -> AsyncIterator[None]:
    """A call over SSE by hand, on a line that is cut at the end, without a word."""
    headers = {"Authorization": f"Bearer {AGENT_KEY}"}
    async with (
        httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=WAIT_SECONDS) as client,
        client.stream("GET", "/mcp/sse") as stream,
    ):
        lines = stream.aiter_lines()
        endpoint = [line async for line in _until_data(lines)][-1].removeprefix("data: ")
        said = [
            {"id": 1, "method": "initialize", "params": HANDSHAKE},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": asked},
        ]
        for message in said:
            await client.post(endpoint, json={"jsonrpc": "2.0"} | message)
        yield


async def _until_data(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith("data: "):
            return


async def test_a_line_that_is_cut_is_no_stop(tmp_path: Path) -> None:
    """Right: a network fails and a laptop sleeps; the case waits on, and the same call brings its result."""
    server = ByHand(tools=[tool("do")])
    server.answer = lambda message: DONE if message["method"] == "tools/call" else None
    async with behind(tmp_path, server, ATLAS_REVIEW_GRACE_SECONDS="20") as gateway:
        arguments = {"text": "cut"}
        async with raw_sse(gateway, {"name": "far_do", "arguments": arguments}):
            case_id = await waiting_case(gateway, "cut")
        assert (await gateway.decide(case_id)).is_success
        await until_status(gateway, case_id, "EXECUTED")
        async with gateway.agent(sse=True) as agent:
            stored = await call(agent, "far_do", **arguments)
    assert "done" in text_of(stored) and stored.meta["io.atlas/case"]["ref"] == case_id


@WAYS
@pytest.mark.parametrize("is_modern", [False, True], ids=["handshake", "stateless server"])
async def test_a_server_at_work_is_told_of_a_stop_and_what_it_did_is_recorded(
    tmp_path: Path, way: str, is_modern: bool
) -> None:
    """Right: after the decision a stop changes nothing. The server is told, and may answer all the same: then
    that is the outcome. In 2026-07-28 it is told by the end of the request, after which no one knows."""
    server, told = ByHand(is_modern=is_modern, tools=[tool("do")]), asyncio.Event()

    async def working(number: int) -> AsyncIterator[bytes]:
        async def is_told() -> bool:
            stops = [one for one in server.came if one["method"] == "notifications/cancelled"]
            return number in [one["params"]["requestId"] for one in stops]

        yield b": at work\n\n"
        await eventually(is_told)
        told.set()
        yield event({"id": number} | DONE)

    def answer(message: dict[str, Any]) -> StreamingResponse | None:
        if message["method"] != "tools/call":
            return None
        return StreamingResponse(working(message["id"]), media_type="text/event-stream")

    server.answer = answer
    async with (
        behind(tmp_path, server, ATLAS_REVIEW_GRACE_SECONDS="20") as gateway,
        agent_by(gateway, way) as agent,
    ):
        asked = asyncio.create_task(call(agent, "far_do", text="late"))
        case_id = await waiting_case(gateway, "late")
        await gateway.decide(case_id)

        async def is_at_work() -> bool:
            return "tools/call" in server.asked

        await eventually(is_at_work)
        asked.cancel()
        await until_status(gateway, case_id, "OUTCOME_UNKNOWN" if server.is_modern else "EXECUTED")
        said = text_of(await outcome(agent, case_id))
    assert ("its agent stopped it while it was at work" in said) == server.is_modern
    assert told.is_set() == (not server.is_modern) and server.asked.count("tools/call") == 1


async def test_a_request_that_is_cut_takes_back_no_call_of_which_its_agent_has_the_reference(
    tmp_path: Path,
) -> None:
    """Right: 2026-07-28; one request opened the case and waits, another made of it a task, the first breaks.

    What comes later shows that the break was seen: a call that is made and cut after it is taken back.
    """
    server = ByHand(tools=[tool("do")])
    async with (
        behind(tmp_path, server, ATLAS_REVIEW_GRACE_SECONDS="20") as gateway,
        agent_by(gateway, "stateless") as agent,
    ):
        opening = asyncio.create_task(call(agent, "far_do", text="told"))
        case_id = await waiting_case(gateway, "told")
        async with task_client(gateway.url, AGENT_KEY) as beside:
            assert (await start(beside, "far_do", text="told")).task_id == case_id
        opening.cancel()
        await asyncio.wait({opening})
        later = asyncio.create_task(call(agent, "far_do", text="later"))
        later_id = await waiting_case(gateway, "later")
        later.cancel()
        await until_status(gateway, later_id, "WITHDRAWN")
        assert status_of(gateway, case_id) == "PENDING_REVIEW"
        assert (await gateway.decide(case_id)).is_success
