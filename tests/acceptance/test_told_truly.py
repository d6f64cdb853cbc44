"""What an agent reads of a deed at a server by hand: the answer as it is, or that nothing was done."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from acceptance.task_client import about, task_client
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
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
)
from mcp import MCPError
from sse import LeavingTransport
from starlette.responses import PlainTextResponse, Response
from upstream_by_hand import MODERN, ByHand, tool

WAYS = pytest.mark.parametrize("way", ["sse", "session", "stateless"])
URL_NEEDED = {
    "code": -32042,
    "message": "Sign in first",
    "data": {
        "elicitations": [{"mode": "url", "url": "https://sign.in/x", "elicitationId": "1", "message": "x"}]
    },
}
APPROVES = """
[[rule]]
tool = "far_now*"
score = 1
"""


@asynccontextmanager
async def behind(directory: Path, server: ByHand, **settings: str) -> AsyncIterator[GatewayProcess]:
    """A gateway with a server behind it, `far`; a tool whose name begins with `now` needs no person."""
    async with server.listening() as entry:
        config, policy = directory / "mcp.json", directory / "policy.toml"
        config.write_text(json.dumps({"mcpServers": {"far": entry}}))
        policy.write_text(APPROVES)
        settings |= {"ATLAS_MCP_CONFIG": str(config), "ATLAS_POLICY": str(policy)}
        gateway = GatewayProcess(directory, **settings)
        await gateway.start()
        try:
            await until_there(gateway)
            yield gateway
        finally:
            await gateway.kill()


async def until_there(gateway: GatewayProcess) -> None:
    """Wait until the server is reached."""

    async def is_there() -> bool:
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.get(f"{gateway.url}/readyz")
        return bool(answer.json()["upstreams"]["far"]["ok"])

    await eventually(is_there)


@asynccontextmanager
async def agent_by(gateway: GatewayProcess, way: str) -> AsyncIterator[Client[Any]]:
    """An agent over SSE, over streamable HTTP with a session, or of the stateless era."""
    sse = way == "sse"
    transport = (LeavingTransport if sse else StreamableHttpTransport)(
        gateway.url + ("/mcp/sse" if sse else "/mcp"), auth=AGENT_KEY
    )
    mode = "2026-07-28" if way == "stateless" else "legacy"
    async with Client(transport, mode=mode, timeout=WAIT_SECONDS) as client:
        yield client


def answers(result: Any) -> Any:
    """An upstream's answer to every call: what it is, or what makes it of the request."""

    def answer(message: dict[str, Any]) -> Any:
        if message["method"] != "tools/call":
            return None
        return result(message) if callable(result) else result

    return answer


VALUES: list[Any] = [[1, 2], 5, "text", False, {"a": None}]
ERRORS: list[dict[str, Any]] = [
    URL_NEEDED,
    {"code": -32602, "message": "no"},
    {"code": 7, "message": "x", "data": 0},
]


@WAYS
async def test_structured_content_of_any_kind_reaches_the_agent(tmp_path: Path, way: str) -> None:
    """Right: what the server answered, at once, later, as a task, and after a restart. The tool ran: an error
    would make the agent repeat it. Versions before 2026-07-28 know objects only: there `result` holds it."""
    server, cases = ByHand(is_modern=True, tools=[tool("now"), tool("do")]), []
    async with behind(tmp_path, server) as gateway:
        async with agent_by(gateway, way) as agent:
            for value in VALUES:
                server.answer = answers({"result": {"content": [], "structuredContent": value}})
                told = await agent.call_tool_mcp("far_now", {})
                is_plain = way == "stateless" or isinstance(value, dict)
                assert not told.is_error
                assert told.structured_content == (value if is_plain else {"result": value})
                cases.append(reference_in(await call(agent, "far_do")))
                await gateway.decide(cases[-1])
                assert (await outcome(agent, cases[-1])).structured_content["result"] == value
        await gateway.kill()
        await gateway.start()
        async with agent_by(gateway, way) as agent, task_client(gateway.url, AGENT_KEY) as client:
            for value, case_id in zip(VALUES, cases, strict=True):
                assert (await outcome(agent, case_id)).structured_content["result"] == value
                task = await about(client, "tasks/get", case_id)
                assert task["status"] == "completed" and task["result"]["structuredContent"] == value


SAID: dict[str, Any] = {"content": [{"type": "text", "text": "done"}]}
ODD_RESULTS = [
    # What the server writes, whether its structured content is an object, and what is kept of that.
    (
        SAID | {"structuredContent": {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": None}},
        True,
        {"a": "NaN", "b": ["Infinity", {"c": "-Infinity"}], "d": None},
    ),
    (SAID | {"structuredContent": math.nan}, False, "NaN"),
    (SAID | {"structuredContent": [1, 2]}, False, [1, 2]),
    (SAID | {"structuredContent": 0}, False, 0),
    (SAID | {"structuredContent": 2**63}, False, 2**63),
    ({"structuredContent": {"sum": 3}}, True, {"sum": 3}),
    ({"content": None}, True, None),
    ({}, True, None),
]


@pytest.mark.parametrize("is_modern", [False, True], ids=["handshake", "2026-07-28"])
async def test_an_odd_result_of_a_deed_that_was_done_is_kept(tmp_path: Path, is_modern: bool) -> None:
    """Right: what the server answered. JSON has no NaN, and null would be another value: its name is a text.
    An answer without `content` is an answer; an unknown outcome would make a person look for nothing."""
    server = ByHand(is_modern=is_modern, tools=[tool("now"), tool("do")])
    async with behind(tmp_path, server) as gateway:
        for way in ("session", "stateless"):
            async with agent_by(gateway, way) as agent:
                for result, is_object, kept in ODD_RESULTS:
                    server.answer = answers(written({"result": result}, is_modern))
                    told = await agent.call_tool_mcp("far_now", {})
                    assert not told.is_error and len(told.content) == len(result.get("content") or ())
                    is_plain = way == "stateless" or is_object
                    assert told.structured_content == (kept if is_plain else {"result": kept})
                    case_id = reference_in(await call(agent, "far_do"))
                    await gateway.decide(case_id)
                    answer = (await outcome(agent, case_id)).structured_content
                    assert answer["status"] == "EXECUTED"
                    assert answer["result"] == ("" if kept is None else kept)  # which is its empty text


def written(answer: dict[str, Any], is_modern: bool) -> Any:
    """An answer with NaN and infinities in it, as Python's json writes them."""

    def respond(message: dict[str, Any]) -> Response:
        result = (MODERN if is_modern else {}) | answer["result"]
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        return Response(text, media_type="application/json", headers={"Connection": "close"})

    return respond


@WAYS
async def test_an_error_of_the_protocol_reaches_the_agent_whole(tmp_path: Path, way: str) -> None:
    """Right: code, message and data, because -32042 holds the address at which a person signs in."""
    server = ByHand(tools=[tool("now"), tool("do")])
    async with (
        behind(tmp_path, server) as gateway,
        agent_by(gateway, way) as agent,
        task_client(gateway.url, AGENT_KEY) as client,
    ):
        for error in ERRORS:
            server.answer = answers({"error": error})
            with pytest.raises(MCPError) as raised:
                await agent.call_tool("far_now", {})
            assert raised.value.error.model_dump(exclude_none=True) == error
            case_id = reference_in(await call(agent, "far_do"))
            await gateway.decide(case_id)
            told = await outcome(agent, case_id)
            assert {k: v for k, v in told.structured_content["error"].items() if v is not None} == error
            assert str(error["code"]) in text_of(told) and "EXECUTED" in text_of(told)
            assert ("https://sign.in/x" in text_of(told)) == (error is URL_NEEDED)
            task = await about(client, "tasks/get", case_id)
            assert task["status"] == "failed" and task["error"]["code"] == error["code"]


@WAYS
async def test_errors_of_resources_prompts_and_completions_reach_the_agent_whole(
    tmp_path: Path, way: str
) -> None:
    """Right: the same for all that an agent asks of a server."""
    lists = {"resources": [{"uri": "x://one", "name": "one"}], "prompts": [{"name": "greet"}]}
    server = ByHand(is_modern=True, **lists)
    asked = ("resources/read", "prompts/get", "completion/complete")
    server.answer = lambda message: {"error": URL_NEEDED} if message["method"] in asked else None
    async with behind(tmp_path, server) as gateway, agent_by(gateway, way) as agent:
        reference = {"type": "ref/prompt", "name": "far_greet"}
        for ask in (
            agent.read_resource("x://far/one"),
            agent.get_prompt("far_greet"),
            agent.complete(_reference(reference), {"name": "a", "value": "b"}),
        ):
            with pytest.raises(MCPError) as raised:
                await ask
            assert raised.value.error.model_dump(exclude_none=True) == URL_NEEDED


def _reference(said: dict[str, str]) -> Any:
    from mcp.types import PromptReference

    return PromptReference.model_validate(said)


@pytest.mark.parametrize("kind", ["gone", "refusing"])
async def test_an_approved_call_that_was_not_taken_is_not_said_to_be_executed(
    tmp_path: Path, kind: str
) -> None:
    """Right: FAILED, nothing was done; the tool has said nothing, so no error of a tool is on record."""
    server = ByHand(tools=[tool("do")])
    refusal: Response = PlainTextResponse("no", status_code=403)
    server.answer = lambda message: refusal if message["method"] == "tools/call" else None
    async with behind(tmp_path, server) as gateway:
        async with gateway.agent() as agent:
            case_id = reference_in(await call(agent, "far_do"))
            if kind == "gone":
                server.leave()
            await gateway.decide(case_id)
            told = await outcome(agent, case_id)
        not_done = f"FAILED (Ref: {case_id}). The call was not executed. Reason: The server far"
        assert text_of(told).startswith(not_done)
        assert status_of(gateway, case_id) == "FAILED" and "result" not in told.structured_content
    assert server.asked.count("tools/call") == (kind == "refusing")
