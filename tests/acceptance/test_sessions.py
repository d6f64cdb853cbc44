"""Sessions of the handshake era outlive the process: their clients go on after a restart, and no one else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import pytest_asyncio
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import (
    AGENT_KEY,
    OTHER_AGENT_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    text_of,
    waiting_case,
)
from kept import store_by_hand
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from ports import kept_port
from raw_session import RawSession, messages, only_message

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = Path(__file__).parent / "gateway_with_tools.py"
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
NEW_KEY = "new-agent-key-of-the-tests"
CHANGE = {"beneficiary_id": "BEN-125", "changes": {"monthly_amount_eur": 700}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway with tools that talk, which is killed and started again by each test."""
    process = GatewayProcess(
        tmp_path_factory.mktemp("sessions"),
        script=SCRIPT,
        ATLAS_PORT=str(kept_port()),
        ATLAS_REVIEW_GRACE_SECONDS="20",
    )
    await process.start()
    yield process
    await process.kill()


async def begin_again(gateway: GatewayProcess, **environment: str) -> None:
    """Start a gateway that has ended, at the address that its clients know."""
    await gateway.start(ATLAS_PORT=str(urlsplit(gateway.url).port), **environment)


async def kill_and_begin_again(gateway: GatewayProcess, **environment: str) -> None:
    """Restart it without a warning."""
    await gateway.kill()
    await begin_again(gateway, **environment)


def assert_refused(response: Any) -> None:
    """The words and the status at which clients begin again."""
    assert response.status_code == 404, response.text
    error = response.json()["error"]
    assert (error["code"], error["message"]) == (-32600, "Session terminated")
    assert '"code":-32001' in response.text


def kept_sessions(gateway: GatewayProcess) -> list[tuple[Any, ...]]:
    """The rows on disk."""
    with contextlib.closing(store_by_hand(gateway.data)) as connection:
        return connection.execute("SELECT * FROM sessions").fetchall()


@contextlib.asynccontextmanager
async def session_of_the_sdk(gateway: GatewayProcess) -> AsyncIterator[ClientSession]:
    """The client of the official Python SDK, after its handshake."""
    headers = {"Authorization": f"Bearer {AGENT_KEY}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=WAIT_SECONDS) as http,
        streamable_http_client(f"{gateway.url}/mcp", http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        yield session


async def test_a_session_of_the_python_sdk_goes_on_after_a_kill(running: GatewayProcess) -> None:
    """The same object, before and after; it does not notice."""
    async with session_of_the_sdk(running) as session:
        before = await session.list_tools()
        await kill_and_begin_again(running)
        assert await session.list_tools() == before
        status = await session.call_tool("check_status", {"beneficiary_id": "BEN-125"})
        assert not status.is_error


async def test_what_a_tool_tells_and_asks_after_a_restart_reaches_the_client(running: GatewayProcess) -> None:
    """Progress, log messages, and questions, for which the gateway knows what the client said it can do."""
    told: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(str(message))

    async def on_log(message: Any) -> None:
        told.append(str(message.data["msg"]))

    async def answer(message: str, *_: Any) -> ElicitResult[Any]:
        told.append(message)
        return ElicitResult(action="accept", content={"value": "Sarah"})

    transport = StreamableHttpTransport(f"{running.url}/mcp", auth=AGENT_KEY)
    handlers: Any = {"progress_handler": on_progress, "log_handler": on_log, "elicitation_handler": answer}
    async with Client(transport, mode="legacy", timeout=WAIT_SECONDS, **handlers) as agent:
        await agent.ping()  # nothing is on its way when the gateway dies: the SDK's transport dies with it
        await kill_and_begin_again(running)
        results = []
        for tool in ("talk", "ask"):
            asked = asyncio.create_task(call(agent, tool, word=f"{tool} on"))
            await running.decide(await waiting_case(running, f"{tool} on"))
            results.append(text_of(await asked))
    assert results == ["said talk on", "ask on is Sarah"]
    assert {"begin talk on", "hear talk on", "end talk on", "Your name, ask on?"} <= set(told)


async def test_a_session_of_every_version_is_on_disk_when_its_id_is_told(running: GatewayProcess) -> None:
    """Killed after the answer to `initialize` and before anything else, for each version with sessions."""
    opened = [RawSession(running.url) for _ in VERSIONS]
    for session, version in zip(opened, VERSIONS, strict=True):
        await session.open(protocolVersion=version)
    await kill_and_begin_again(running)
    for session, version in zip(opened, VERSIONS, strict=True):
        assert session.version == version
        initialized = await session.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert initialized.status_code == 202
        answer = await session.post("tools/list")
        assert "check_status" in str(only_message(answer)["result"]["tools"])
        assert answer.headers["mcp-session-id"] == session.session_id


async def test_a_session_is_taken_up_by_no_one_but_its_agent(running: GatewayProcess) -> None:
    """Another agent's key, a made-up id, and a session that was ended, before a restart and after it."""
    kept, ended, ended_later = (RawSession(running.url) for _ in range(3))
    for session in (kept, ended, ended_later):
        await session.open()
    assert (await ended.delete()).status_code == 200

    async def check() -> None:
        assert_refused(await kept.by(OTHER_AGENT_KEY).post("tools/list"))
        assert_refused(await RawSession(running.url, session_id="0" * 32).post("tools/list"))
        assert_refused(await ended.post("tools/list"))
        assert_refused(await ended.delete())
        assert_refused(await kept.by(OTHER_AGENT_KEY).delete())
        assert (await kept.by("not-a-key-of-anyone").post("tools/list")).status_code == 401

    await check()
    await kill_and_begin_again(running)
    await check()
    assert (await ended_later.delete()).status_code == 200, "without a request before it"
    assert_refused(await ended_later.post("tools/list"))
    only_message(await kept.post("tools/list"))
    await check()
    assert (await kept.delete()).status_code == 200
    assert_refused(await kept.post("tools/list"))


async def test_requests_that_come_at_once_after_a_restart_are_all_served(running: GatewayProcess) -> None:
    """With the standing stream among them, of which a session has one, also after a restart."""
    session = RawSession(running.url)
    await session.open()
    await kill_and_begin_again(running)
    async with contextlib.AsyncExitStack() as stack:
        answers = await asyncio.gather(
            stack.enter_async_context(session.stream()), *(session.post("tools/list") for _ in range(4))
        )
        assert [answer.status_code for answer in answers] == [200] * 5
        assert {answer.headers["mcp-session-id"] for answer in answers} == {session.session_id}
        second = await stack.enter_async_context(session.stream())
        assert second.status_code == 409


async def test_a_client_that_comes_back_on_its_standing_stream_is_told_what_it_subscribes_to(
    running: GatewayProcess,
) -> None:
    """The stream is opened first; a subscription made again after it is served on it."""
    session = RawSession(running.url)
    await session.open()
    asked = asyncio.create_task(session.post("tools/call", name="talk", arguments={"word": "subscribed"}))
    case_id = await waiting_case(running, "subscribed")
    await kill_and_begin_again(running)
    assert isinstance(
        await asyncio.wait_for(asyncio.gather(asked, return_exceptions=True), WAIT_SECONDS), list
    )
    uri = f"atlas://cases/{case_id}"
    async with session.stream() as stream:
        assert stream.status_code == 200
        only_message(await session.post("resources/subscribe", uri=uri))
        await running.decide(case_id)
        told = await asyncio.wait_for(anext(messages(stream)), WAIT_SECONDS)
    assert told["method"] == "notifications/resources/updated" and told["params"]["uri"] == uri


async def test_an_answer_to_a_question_of_before_a_restart_answers_no_other(running: GatewayProcess) -> None:
    """The client's user says yes to what is not asked any more; the question after it still waits."""
    session = RawSession(running.url)
    await session.open()
    old = await question(running, session, "before")
    await kill_and_begin_again(running)
    async with asking(running, session, "after") as (new, told):
        assert old["id"] != new["id"]
        await session.send({"jsonrpc": "2.0", "id": old["id"], "result": yes("Mallory")})
        await session.send({"jsonrpc": "2.0", "id": new["id"], "result": yes("Sarah")})
        answer = await asyncio.wait_for(anext(told), WAIT_SECONDS)
    assert answer["result"]["content"][0]["text"] == "after is Sarah"


@contextlib.asynccontextmanager
async def asking(
    gateway: GatewayProcess, session: RawSession, word: str
) -> AsyncIterator[tuple[dict[str, Any], AsyncIterator[dict[str, Any]]]]:
    """A call that has been approved and asks something: the question, and what comes after it."""
    async with session.stream("tools/call", name="ask", arguments={"word": word}) as stream:
        told = messages(stream)
        await gateway.decide(await waiting_case(gateway, word))
        yield await asyncio.wait_for(anext(told), WAIT_SECONDS), told


async def question(gateway: GatewayProcess, session: RawSession, word: str) -> dict[str, Any]:
    """What a call asks, which is left alone with it."""
    async with asking(gateway, session, word) as (asked, _):
        assert asked["method"] == "elicitation/create"
        return asked


def yes(name: str) -> dict[str, Any]:
    """What a client answers for its user."""
    return {"action": "accept", "content": {"value": name}}


async def test_a_session_belongs_to_the_agent_and_not_to_its_key(running: GatewayProcess) -> None:
    """With a new key under the old name it is served, as the agent's cases are; the old key is none."""
    session = RawSession(running.url)
    await session.open()
    await kill_and_begin_again(running, ATLAS_AGENT_KEY=f"agent:{NEW_KEY},other:{OTHER_AGENT_KEY}")
    only_message(await session.by(NEW_KEY).post("tools/list"))
    assert (await session.post("tools/list")).status_code == 401
    await kill_and_begin_again(running, ATLAS_AGENT_KEY=f"renamed:{AGENT_KEY},other:{OTHER_AGENT_KEY}")
    assert_refused(await session.post("tools/list"))
    await kill_and_begin_again(running)


async def test_a_session_is_forgotten_a_week_after_its_last_request(running: GatewayProcess) -> None:
    """The client is told to begin again, and the next one that opens a session clears the row away."""
    silent, used = RawSession(running.url), RawSession(running.url)
    await silent.open()
    await running.kill()
    with contextlib.closing(store_by_hand(running.data)) as connection, connection:
        connection.execute("UPDATE sessions SET last_seen_at = '2026-01-01T00:00:00.000000Z'")
    await begin_again(running)
    assert_refused(await silent.post("tools/list"))
    await used.open()
    assert len(kept_sessions(running)) == 1


async def test_without_keys_sessions_outlive_a_restart_too(tmp_path: Path) -> None:
    """And none of them is an agent's when keys are set afterwards."""
    gateway = GatewayProcess(tmp_path, ATLAS_PORT=str(kept_port()))
    for name in ("ATLAS_AGENT_KEY", "ATLAS_REVIEWER_KEY"):
        gateway.leave_to_env_file(name)
    await gateway.start()
    try:
        session = RawSession(gateway.url, key=None)
        await session.open()
        await kill_and_begin_again(gateway)
        only_message(await session.post("tools/list"))
        assert_refused(await RawSession(gateway.url, key=None, session_id="f" * 32).post("tools/list"))
        keys = {"ATLAS_AGENT_KEY": f"agent:{AGENT_KEY}", "ATLAS_REVIEWER_KEY": NEW_KEY}
        await kill_and_begin_again(gateway, **keys)
        assert_refused(await session.by(AGENT_KEY).post("tools/list"))
        assert (await session.post("tools/list")).status_code == 401
    finally:
        await gateway.kill()


async def test_the_era_without_sessions_is_served_as_before(running: GatewayProcess) -> None:
    """A client of 2026-07-28 opens none, and a session id beside its version means nothing."""
    before = len(kept_sessions(running))
    transport = StreamableHttpTransport(f"{running.url}/mcp", auth=AGENT_KEY)
    transport.headers["Mcp-Session-Id"] = "0" * 32
    async with Client(transport, mode="2026-07-28", timeout=WAIT_SECONDS) as agent:
        assert not (await call(agent, "check_status", beneficiary_id="BEN-125")).is_error
        await kill_and_begin_again(running)
        assert not (await call(agent, "check_status", beneficiary_id="BEN-125")).is_error
    assert len(kept_sessions(running)) == before
