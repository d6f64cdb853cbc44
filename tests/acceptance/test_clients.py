"""Real MCP clients, and plain HTTP, against one running gateway."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from acceptance.npm_clients import NpmClients
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import (
    AGENT_KEY,
    REVIEWER_KEY,
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
from mcp import ClientSession
from mcp.client.sse import sse_client
from sse import left

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOLS = {
    "check_status",
    "request_extension",
    "request_payment_extension",
    "modify_welfare_record",
    "get_outcome",
    "give_information",
}
AGENT = {"Authorization": f"Bearer {AGENT_KEY}"}
BY_HAND = {"name": "by hand", "version": "1"}
HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_VERSION = "2026-07-28"
TRANSPORTS = pytest.mark.parametrize(("kind", "path"), [("sse", "/mcp/sse"), ("http", "/mcp")])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for all tests of this module; each asks for something of its own."""
    process = GatewayProcess(tmp_path_factory.mktemp("clients"))
    await process.start()
    yield process
    await process.kill()


@pytest.fixture(scope="session")
def npm() -> NpmClients:
    """The clients from npm."""
    return NpmClients.install()


def risky() -> dict[str, Any]:
    """Arguments of a call that waits for a person, unlike those of any other test."""
    return {"beneficiary_id": "BEN-123", "reason": f"hospital stay {secrets.token_hex(4)}"}


# The Python clients


async def test_the_sdks_sse_client_is_held_and_then_reads_the_result(running: GatewayProcess) -> None:
    """mcp.client.sse and ClientSession go the whole path, with the output schemas of the tools unseen."""
    async with (
        left(sse_client(f"{running.url}/mcp/sse", headers=AGENT, timeout=WAIT_SECONDS)) as (
            incoming,
            outgoing,
        ),
        ClientSession(incoming, outgoing) as session,
    ):
        started = await session.initialize()
        assert started.server_info.name == "ATLAS"
        tools = (await session.list_tools()).tools
        assert {tool.name for tool in tools} == TOOLS
        assert [tool.output_schema for tool in tools] == [None] * len(TOOLS)
        status = await session.call_tool("check_status", {"beneficiary_id": "BEN-123"})
        assert status.structured_content["benefit"] == "housing benefit"
        case_id = reference_in(await session.call_tool("request_payment_extension", risky()))
        await running.decide(case_id)
        result = await session.call_tool("get_outcome", {"ref": case_id, "wait_seconds": 20})
    assert text_of(result).startswith(f"EXECUTED (Ref: {case_id}). Done.\nThe repayment of BEN-123")


@pytest.mark.parametrize("sse", [True, False], ids=["sse", "http"])
async def test_the_fastmcp_client_lists_calls_and_reads_the_refusal(
    running: GatewayProcess, sse: bool
) -> None:
    """The same server answers over both transports."""
    async with running.agent(sse=sse) as agent:
        assert {tool.name for tool in await agent.list_tools()} == TOOLS
        case_id = reference_in(await call(agent, "request_payment_extension", **risky()))
        await running.decide(case_id, "REJECTED", reason="not in the file")
        result = await outcome(agent, case_id)
    assert not result.is_error and "not in the file" in text_of(result)


@pytest.mark.parametrize("mode", ["legacy", STATELESS_VERSION])
async def test_a_client_of_either_era_is_held_and_then_reads_the_result(
    running: GatewayProcess, mode: str
) -> None:
    """/mcp serves clients that shake hands and clients that keep no session."""
    transport = StreamableHttpTransport(f"{running.url}/mcp", auth=AGENT_KEY)
    async with Client(transport, mode=mode, timeout=WAIT_SECONDS) as agent:
        expected = HANDSHAKE_VERSIONS[-1] if mode == "legacy" else mode
        assert agent.protocol_version == expected
        case_id = reference_in(await call(agent, "request_payment_extension", **risky()))
        await running.decide(case_id)
        assert "now due on" in text_of(await outcome(agent, case_id))


# The protocol by hand: nothing here is a client's own idea of it


def json_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON-RPC message in an answer of /mcp, be it JSON or an event stream."""
    if response.headers["content-type"].startswith("application/json"):
        return response.json()
    messages = [line.removeprefix("data:") for line in response.text.splitlines() if line.startswith("data:")]
    return json.loads(messages[-1])


@pytest.mark.parametrize("version", HANDSHAKE_VERSIONS)
async def test_each_handshake_version_is_spoken(running: GatewayProcess, version: str) -> None:
    """The version asked for is agreed on, and a tool answers in its session."""
    accept = {"Accept": "application/json, text/event-stream"}
    asked = {
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "by hand", "version": "1"},
    }
    async with httpx.AsyncClient(timeout=WAIT_SECONDS, headers=AGENT | accept) as client:

        async def post(method: str, params: dict[str, Any] | None, **more: Any) -> httpx.Response:
            body = {"jsonrpc": "2.0", "method": method} | ({"params": params} if params else {}) | more
            return await client.post(f"{running.url}/mcp", json=body)

        started = await post("initialize", asked, id=1)
        assert json_of(started)["result"]["protocolVersion"] == version
        session = started.headers["mcp-session-id"]
        client.headers.update({"Mcp-Session-Id": session, "MCP-Protocol-Version": version})
        assert (await post("notifications/initialized", None)).status_code == 202
        tool = {"name": "check_status", "arguments": {"beneficiary_id": "BEN-124"}}
        answer = json_of(await post("tools/call", tool, id=2))["result"]
        ended = await client.delete(f"{running.url}/mcp")
    assert "basic income support" in answer["content"][0]["text"] and not answer["isError"]
    assert ended.status_code == 200


async def test_the_stateless_version_needs_no_handshake(running: GatewayProcess) -> None:
    """A single request of 2026-07-28 is answered, and opens no session."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": STATELESS_VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = AGENT | {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": STATELESS_VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "check_status",
    }
    params = {"name": "check_status", "arguments": {"beneficiary_id": "BEN-124"}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        answer = await client.post(f"{running.url}/mcp", json=body, headers=headers)
    assert "basic income support" in json_of(answer)["result"]["content"][0]["text"]
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("slash", ["", "/"], ids=["without slash", "with slash"])
async def test_messages_of_sse_are_accepted_at_both_paths(running: GatewayProcess, slash: str) -> None:
    """A POST to /mcp/messages is taken with and without the last slash, and never redirected."""
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2024-11-05",
            "capabilities": {},
            "clientInfo": BY_HAND,
        },
    }
    async with (
        httpx.AsyncClient(timeout=WAIT_SECONDS, headers=AGENT) as client,
        client.stream("GET", f"{running.url}/mcp/sse") as stream,
    ):
        events = (
            line.removeprefix("data:").strip() async for line in stream.aiter_lines() if "data:" in line
        )
        path, _, query = (await anext(events)).partition("?")
        assert path == "/mcp/messages/"
        posted = await client.post(f"{running.url}/mcp/messages{slash}?{query}", json=initialize)
        assert posted.status_code == 202
        assert json.loads(await anext(events))["result"]["protocolVersion"] == "2024-11-05"


# The clients from npm


@pytest.mark.npm
@pytest.mark.timeout(400)
@TRANSPORTS
async def test_the_inspector_lists_calls_and_is_held(
    running: GatewayProcess, npm: NpmClients, kind: str, path: str
) -> None:
    """The Inspector's command line works with a bearer header over both transports."""
    url = running.url + path
    listed = await npm.inspect(url, "--method", "tools/list", "--strict")
    assert {tool["name"] for tool in listed["result"]["tools"]} == TOOLS
    status = await npm.inspect(url, *_inspector_call("check_status", beneficiary_id="BEN-125"))
    assert status["result"]["structuredContent"]["benefit"] == "disability benefit"
    held = await npm.inspect(url, *_inspector_call("request_payment_extension", **risky()))
    assert held["result"]["content"][0]["text"].startswith("PENDING REVIEW (Ref: evt_")


def _inspector_call(tool: str, **arguments: str) -> list[str]:
    pairs = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
    return ["--method", "tools/call", "--tool-name", tool, *pairs]


@pytest.mark.npm
@pytest.mark.timeout(400)
@TRANSPORTS
async def test_the_typescript_sdk_takes_pending_and_executed_answers(
    running: GatewayProcess, npm: NpmClients, kind: str, path: str
) -> None:
    """Having listed the tools it raises neither for a notice nor for a result: no output schema is listed."""
    arguments, url = risky(), running.url + path
    first = await npm.typescript(
        kind,
        url,
        ("check_status", {"beneficiary_id": "BEN-123"}),
        ("request_payment_extension", arguments),
    )
    assert not any("outputSchema" in tool for tool in first["tools"])
    status, held = first["results"]
    assert status["structuredContent"]["benefit"] == "housing benefit"
    case_id = held["structuredContent"]["case_id"]
    assert held["content"][0]["text"].startswith(f"PENDING REVIEW (Ref: {case_id}).")
    await running.decide(case_id)
    second = await npm.typescript(kind, url, ("get_outcome", {"ref": case_id, "wait_seconds": 20}))
    executed = second["results"][0]
    assert executed["structuredContent"]["status"] == "EXECUTED"
    assert "now due on" in executed["content"][0]["text"]


@pytest.mark.npm
@pytest.mark.timeout(400)
@TRANSPORTS
async def test_the_typescript_sdk_gets_what_it_calls_again(
    running: GatewayProcess, npm: NpmClients, kind: str, path: str
) -> None:
    """The stored result is one that it takes, of a tool that has an output schema of its own."""
    arguments, url = risky(), running.url + path
    first = await npm.typescript(kind, url, ("request_payment_extension", arguments))
    case_id = first["results"][0]["structuredContent"]["case_id"]
    await running.decide(case_id)

    async def is_executed() -> bool:
        return status_of(running, case_id) == "EXECUTED"

    await eventually(is_executed)
    again = (await npm.typescript(kind, url, ("request_payment_extension", arguments)))["results"][0]
    assert "now due on" in again["structuredContent"]["result"]
    assert again["_meta"]["io.atlas/case"]["ref"] == case_id


@pytest.mark.npm
@pytest.mark.timeout(400)
@TRANSPORTS
async def test_the_typescript_sdk_subscribes_and_reads_the_refusal(
    running: GatewayProcess, npm: NpmClients, kind: str, path: str
) -> None:
    """It is told of the change, and finds the reviewer's reason in the resource."""
    arguments = risky()
    following = asyncio.create_task(
        npm.typescript_follows(kind, running.url + path, "request_payment_extension", arguments)
    )
    case_id = await waiting_case(running, arguments["reason"])
    await running.decide(case_id, "REJECTED", reason="follow this")
    case = await following
    assert (case["case_id"], case["status"], case["reason"]) == (case_id, "REJECTED", "follow this")


# Who is turned away


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/mcp/sse"),
        ("POST", "/mcp/messages"),
        ("POST", "/mcp/messages/"),
        ("POST", "/mcp"),
        ("GET", "/mcp"),
        ("DELETE", "/mcp"),
    ],
)
@pytest.mark.parametrize(
    "key", [None, "a-key-that-no-one-has", REVIEWER_KEY], ids=["none", "wrong", "reviewer"]
)
async def test_who_has_no_agents_key_gets_401_from_every_mcp_endpoint(
    running: GatewayProcess, method: str, path: str, key: str | None
) -> None:
    """Without a key, with a wrong one and with the reviewer's no one gets as far as the protocol."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        response = await client.request(method, running.url + path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "atlas.example.com"}, 421),  # what a name under an attacker's control looks like
        ({"Origin": "https://example.com"}, 403),  # a page that makes a browser call the gateway
    ],
    ids=["host", "origin"],
)
@pytest.mark.parametrize("path", ["/", "/mcp", "/mcp/sse", "/webhook/approval", "/api/inngest"])
async def test_a_wrong_host_and_a_foreign_origin_are_refused_everywhere(
    running: GatewayProcess, path: str, headers: dict[str, str], status: int
) -> None:
    """Keys do not help: the guard stands before everything else."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        response = await client.get(running.url + path, headers=AGENT | headers)
    assert response.status_code == status


async def test_a_host_that_the_operator_names_is_let_in(tmp_path: Path) -> None:
    """ATLAS_ALLOWED_HOSTS is for a gateway behind a proxy."""
    gateway = GatewayProcess(tmp_path, ATLAS_ALLOWED_HOSTS="atlas.example.com")
    await gateway.start()
    try:
        async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
            named = await client.get(gateway.url, headers={"Host": "atlas.example.com"})
            other = await client.get(gateway.url, headers={"Host": "other.example.com"})
    finally:
        await gateway.kill()
    assert (named.status_code, other.status_code) == (200, 421)


async def test_without_keys_everybody_here_is_let_in_and_is_told_so(tmp_path: Path) -> None:
    """OPEN MODE: no client needs a key, the index and the log say so, and foreign pages stay out."""
    gateway = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await gateway.start()
    try:
        async with gateway.agent(None) as agent:
            case_id = reference_in(await call(agent, "request_payment_extension", **risky()))
            assert (await gateway.decide(case_id, key=None)).status_code == 200
            assert "now due on" in text_of(await outcome(agent, case_id))
        async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
            index = (await client.get(gateway.url)).json()
            foreign = await client.post(
                f"{gateway.url}/webhook/approval",
                json={"decision": "REJECTED", "event_id": case_id},
                headers={"Origin": "https://example.com"},
            )
    finally:
        await gateway.kill()
    assert index["mode"].startswith("OPEN MODE") and "OPEN MODE" in gateway.newest_log()
    assert foreign.status_code == 403


# The endpoints that are not MCP


async def test_the_index_says_where_things_are(running: GatewayProcess) -> None:
    """GET / names the endpoints; with keys set it says nothing of a mode."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        index = (await client.get(running.url)).json()
    assert index.pop("version")
    assert index == {
        "status": "ATLAS Governance Gateway Running",
        "mcp_endpoint": "/mcp/sse",
        "inngest_endpoint": "/api/inngest",
        "approval_endpoint": "/webhook/approval",
        "desk": "/desk",
    }


async def test_it_is_alive_and_ready_and_names_its_parts(running: GatewayProcess) -> None:
    """/readyz tells which engine, assessor and database were chosen, and that each answers."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        alive = await client.get(f"{running.url}/healthz")
        ready = await client.get(f"{running.url}/readyz")
    assert (alive.status_code, ready.status_code) == (200, 200)
    parts = ready.json()
    assert parts.pop("ready") is True
    assert {name: part["ok"] for name, part in parts.items()} == {
        "engine": True,
        "assessor": True,
        "policy": True,
        "database": True,
    }
    assert parts["engine"]["name"] == "embedded" and parts["assessor"]["name"].startswith("policy ")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_inngests_endpoint_refuses_a_caller_that_cannot_sign(
    running: GatewayProcess, method: str
) -> None:
    """The embedded engine signs its requests, so no one else's are taken."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        response = await client.request(method, f"{running.url}/api/inngest", json={})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("body", "key", "status", "error"),
    [
        ({"decision": "APPROVED", "event_id": "evt_48f1fb4b"}, None, 401, "NotAuthenticated"),
        ({"decision": "APPROVED", "event_id": "evt_48f1fb4b"}, "nobodys-key", 401, "NotAuthenticated"),
        ({"decision": "APPROVED", "event_id": "evt_48f1fb4b"}, AGENT_KEY, 403, "NotPermitted"),
        ({"decision": "APPROVED", "event_id": "evt_48f1fb4b"}, REVIEWER_KEY, 404, "CaseNotFound"),
        ({"decision": "approved", "event_id": "evt_48f1fb4b"}, REVIEWER_KEY, 422, "RequestInvalid"),
        ({"event_id": "evt_48f1fb4b"}, REVIEWER_KEY, 422, "RequestInvalid"),  # silence is no approval
        ({"decision": "APPROVED"}, REVIEWER_KEY, 422, "RequestInvalid"),
    ],
)
async def test_a_decision_that_cannot_count_is_answered_in_one_shape(
    running: GatewayProcess, body: dict[str, str], key: str | None, status: int, error: str
) -> None:
    """The webhook says what is wrong as {"error", "detail"}."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        response = await client.post(f"{running.url}/webhook/approval", json=body, headers=headers)
    assert response.status_code == status
    assert response.json()["error"] == error and set(response.json()) == {"error", "detail"}


async def test_the_same_decision_again_is_fine_and_a_contrary_one_is_refused(running: GatewayProcess) -> None:
    """A decision is made once."""
    async with running.agent() as agent:
        case_id = reference_in(await call(agent, "request_payment_extension", **risky()))
        answers = [await running.decide(case_id, verdict) for verdict in ("REJECTED", "REJECTED", "APPROVED")]
    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert answers[2].json()["error"] == "ContraryDecision"


# The end


async def test_ctrl_c_ends_it_although_an_agent_is_connected(tmp_path: Path) -> None:
    """SIGINT with an SSE stream that stays open: exit status 0, and no traceback of the interrupt."""
    gateway = GatewayProcess(tmp_path)
    await gateway.start()
    async with (
        httpx.AsyncClient(timeout=WAIT_SECONDS, headers=AGENT) as client,
        client.stream("GET", f"{gateway.url}/mcp/sse") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: endpoint"
        status = await gateway.stop()  # the stream is still held open here
    assert status == 0
    assert "KeyboardInterrupt" not in gateway.newest_log()
    await eventually(lambda: _refuses_connections(gateway.url))


async def _refuses_connections(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=60) as client:
            await client.get(url)
    except httpx.ConnectError:
        return True
    return False
