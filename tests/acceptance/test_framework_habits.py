"""What agent frameworks do on the wire, without them, against a gateway with its default settings."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from fastmcp import Client
from fastmcp.client.transports import SSETransport, StreamableHttpTransport
from gateway_process import (
    AGENT_KEY,
    OTHER_AGENT_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    outcome,
    reference_in,
    text_of,
)
from ports import kept_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

GIVES_UP_SECONDS = 5  # OpenAI Agents SDK, smolagents
TRIES = 5
DONE = "The repayment of BEN-123 is now due on"
REASON = "not in the file of this year"
VERSION = "2025-11-25"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway with the default graces; each test asks for something of its own."""
    process = GatewayProcess(tmp_path_factory.mktemp("habits"))
    leave_graces_alone(process)
    await process.start()
    yield process
    await process.kill()


def leave_graces_alone(gateway: GatewayProcess) -> None:
    """Let a gateway hold a call as long as it does by default."""
    gateway.leave_to_env_file("ATLAS_GRACE_SECONDS")
    gateway.leave_to_env_file("ATLAS_REVIEW_GRACE_SECONDS")


def risky() -> dict[str, Any]:
    """Arguments of a call that waits for a person, unlike those of any other test."""
    return {"beneficiary_id": "BEN-123", "reason": f"hospital stay {secrets.token_hex(4)}"}


async def held(agent: Client[Any]) -> str:
    """The reference of a new call that is held."""
    return reference_in(await call(agent, "request_payment_extension", **risky()))


# Gives up early


@pytest.mark.parametrize("transport", [StreamableHttpTransport, SSETransport], ids=["http", "sse"])
async def test_a_client_that_gives_up_after_five_seconds_gets_each_answer(
    running: GatewayProcess, transport: type[StreamableHttpTransport | SSETransport]
) -> None:
    """The notice is there before a wait of five seconds ends, and the wait that it recommends is shorter.

    The gateway measures both, so a slow machine makes both longer; one try of five has to show it.
    """
    is_sse = transport is SSETransport
    async with running.agent(sse=is_sse) as agent, running.agent(sse=is_sse) as other:
        notice = await call(agent, "request_payment_extension", **risky())
        for _ in range(TRIES):
            gives_up = asyncio.create_task(
                outcome(other, reference_in(notice), wait_seconds=GIVES_UP_SECONDS)
            )
            notice = await call(agent, "request_payment_extension", **risky())
            is_in_time = not gives_up.done()
            await gives_up
            if is_in_time:
                break
        assert is_in_time, f"in none of {TRIES} tries"
        recommended = int(re.findall(r"wait_seconds=(\d+)", text_of(notice))[0])
        assert 0 < recommended < GIVES_UP_SECONDS
        still = await outcome(agent, reference_in(notice), wait_seconds=recommended)
    assert reference_in(still) == reference_in(notice)


# Shows its model a part of the answer


def structured(result: Any) -> str:
    """Pydantic AI, smolagents and, if asked to, the OpenAI Agents SDK: structured content if there is any."""
    return json.dumps(result.structured_content) if result.structured_content else text_of(result)


def first_block(result: Any) -> str:
    """smolagents."""
    return str(result.content[0].text)


def texts(result: Any) -> str:
    """AutoGen, Semantic Kernel, LangChain: text blocks."""
    return "\n".join(block.text for block in result.content if block.type == "text")


PARTS = pytest.mark.parametrize("shown", [structured, first_block, texts])


@PARTS
async def test_the_part_that_a_model_sees_has_the_notice_and_the_tools_words(
    running: GatewayProcess, shown: Callable[[Any], str]
) -> None:
    """It reads that the call is held, what to ask for its outcome, and what the tool said in the end."""
    async with running.agent() as agent:
        notice = shown(await call(agent, "request_payment_extension", **risky()))
        case_id = re.findall(r"PENDING REVIEW \(Ref: (evt_[0-9a-f]{16})\)", notice)[0]
        assert "get_outcome" in notice
        await running.decide(case_id)
        told = await outcome(agent, case_id)
    assert f"EXECUTED (Ref: {case_id})" in shown(told) and DONE in shown(told)


@PARTS
async def test_the_part_that_a_model_sees_has_the_reason_of_a_rejection(
    running: GatewayProcess, shown: Callable[[Any], str]
) -> None:
    """It is an answer and no error, since Pydantic AI ends a run and LangChain has it repaired."""
    async with running.agent() as agent:
        case_id = await held(agent)
        await running.decide(case_id, "REJECTED", reason=REASON)
        told = await outcome(agent, case_id)
    assert not told.is_error
    assert f"REJECTED (Ref: {case_id})" in shown(told) and REASON in shown(told)


# Has its own idea of the arguments


async def test_a_client_that_requires_every_parameter_finds_each_in_the_notice(
    running: GatewayProcess,
) -> None:
    """smolagents takes a parameter with a default for required: the call in the notice has all of them."""
    async with running.agent() as agent:
        tools = {tool.name: tool for tool in await agent.list_tools()}
        notice = text_of(await call(agent, "request_payment_extension", **risky()))
        named = re.findall(r"get_outcome\((.*?)\)", notice)[0]
        arguments = {name: json.loads(value) for name, value in re.findall(r"(\w+)=([^,]+)", named)}
        assert arguments.keys() == tools["get_outcome"].input_schema["properties"].keys()
        await running.decide(arguments["ref"])
        told = await call(agent, "get_outcome", **arguments)
    assert DONE in text_of(told)


@pytest.mark.parametrize("seconds", [None, -1])
async def test_a_wait_of_nothing_is_answered_at_once(running: GatewayProcess, seconds: int | None) -> None:
    """CrewAI sends null for what its model leaves out, and models send what they like."""
    async with running.agent() as agent:
        case_id = await held(agent)
        async with running.agent() as other:
            waiting = asyncio.create_task(outcome(other, case_id))
            told = await call(agent, "get_outcome", ref=case_id, wait_seconds=seconds)
            assert not waiting.done(), "it was waited for as long as in a call that asks for a wait"
            await running.decide(case_id)
            await waiting
    assert reference_in(told) == case_id and not told.is_error


async def test_a_wait_that_is_too_long_is_no_mistake(running: GatewayProcess) -> None:
    """It counts as the longest that there is."""
    async with running.agent() as agent:
        case_id = await held(agent)
        await running.decide(case_id)
        told = await call(agent, "get_outcome", ref=case_id, wait_seconds=60)
    assert not told.is_error and DONE in text_of(told)


async def test_a_wait_that_is_no_number_is_answered_with_a_sentence(running: GatewayProcess) -> None:
    """A model can read what to send, and no address of a validator's documentation."""
    async with running.agent() as agent:
        told = await call(agent, "get_outcome", ref=await held(agent), wait_seconds="soon")
    assert told.is_error and "://" not in text_of(told)
    assert "wait_seconds has to be a whole number from 0 to 25." in text_of(told)


# Keeps a session that the gateway does not know


class Session:
    """A client by hand that always keeps the id of its session."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/mcp"
        self.headers = {
            "Authorization": f"Bearer {AGENT_KEY}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
        }

    async def open(self) -> None:
        """Shake hands, and remember the session."""
        client = {"name": "by hand", "version": "1"}
        asked = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client}
        started = await self.post("initialize", asked, id=1)
        self.headers["Mcp-Session-Id"] = started.headers["mcp-session-id"]
        assert (await self.post("notifications/initialized")).status_code == 202

    async def call(self, tool: str, **arguments: Any) -> httpx.Response:
        """Call a tool in the session."""
        return await self.post("tools/call", {"name": tool, "arguments": arguments}, id=2)

    async def post(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        """Send a message."""
        body = {"jsonrpc": "2.0", "method": method} | ({"params": params} if params else {}) | more
        async with httpx.AsyncClient(timeout=WAIT_SECONDS, headers=self.headers) as client:
            return await client.post(self._url, json=body)


async def test_a_session_of_before_a_restart_is_served_and_only_to_its_agent(tmp_path: Path) -> None:
    """The AI SDK, ADK, AutoGen and others keep it, and do not begin again when it is refused."""
    gateway = GatewayProcess(tmp_path, ATLAS_PORT=str(kept_port()))
    leave_graces_alone(gateway)
    await gateway.start()
    session = Session(gateway.url)
    await session.open()
    await gateway.kill()
    await gateway.start(ATLAS_PORT=str(urlsplit(gateway.url).port))
    try:
        own = await session.call("check_status", beneficiary_id="BEN-123")
        session.headers["Authorization"] = f"Bearer {OTHER_AGENT_KEY}"
        others = await session.call("check_status", beneficiary_id="BEN-123")
    finally:
        await gateway.kill()
    assert own.status_code == 200 and "housing benefit" in own.text, own.text
    assert others.status_code in (403, 404) and "housing benefit" not in others.text, others.text
