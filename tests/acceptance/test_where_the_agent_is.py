"""A tool that talks to its agent is executed by the gateway that holds the agent."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from acceptance.task_client import about, task_client
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import SSETransport, StreamableHttpTransport
from gateway_process import WAIT_SECONDS, GatewayProcess, eventually, text_of
from mcp.types import CreateMessageResult, TextContent
from postgres import PostgresServer
from together import Together, together

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]

POLICY = """
unknown_tools = "person"

[[rule]]
tool = "far_*"
when = "args.word.startsWith('held')"
score = 90
classification = "test"
rationale = "A person decides."

[[rule]]
tool = "far_*"
score = 5
classification = "test"
rationale = "It does no harm."
"""


@asynccontextmanager
async def offices(server: PostgresServer, directory: Path) -> AsyncIterator[tuple[Together, Path]]:
    """Two gateways in front of the talking server, and the file in which it notes its calls."""
    notes, policy, servers = directory / "notes", directory / "policy.toml", directory / "servers.json"
    policy.write_text(POLICY)
    program = str(Path(__file__).with_name("talking_server.py"))
    entry = {"command": sys.executable, "args": [program], "env": {"NOTES": str(notes)}}
    servers.write_text(json.dumps({"mcpServers": {"far": entry}}))
    notes.touch()
    settings = {
        "ATLAS_AGENT_KEY": "",
        "ATLAS_REVIEWER_KEY": "",
        "ATLAS_REVIEW_GRACE_SECONDS": "25",
        "ATLAS_GRACE_SECONDS": "25",
        "ATLAS_POLICY": str(policy),
        "ATLAS_MCP_CONFIG": str(servers),
    }
    url = server.new_database(f"offices_{secrets.token_hex(4)}")
    async with together(directory, url, **settings) as both:
        yield both, notes


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(
    server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Together, Path]]:
    """One pair for the tests that leave both alive."""
    async with offices(server, tmp_path_factory.mktemp("offices")) as made:
        yield made


async def chosen(message: str, *rest: Any) -> ElicitResult[Any]:
    """What the user of the agent answers."""
    return ElicitResult(action="accept", content={"value": "green"})


async def sampled(*rest: Any) -> CreateMessageResult:
    """What the model of the agent says."""
    text = TextContent(type="text", text="Paris")
    return CreateMessageResult(role="assistant", content=text, model="a model")


@asynccontextmanager
async def talking(gateway: GatewayProcess, *, sse: bool = False) -> AsyncIterator[Client[Any]]:
    """An agent of the era with sessions, that can be asked by its tools."""
    transport = (
        SSETransport(f"{gateway.url}/mcp/sse") if sse else StreamableHttpTransport(f"{gateway.url}/mcp")
    )
    able = {"elicitation_handler": chosen, "sampling_handler": sampled}
    async with Client(transport, mode="legacy", timeout=WAIT_SECONDS, **able) as client:  # type: ignore[arg-type]
        yield client


async def case_of(both: Together, word: str, *, status: str) -> str:
    """The reference of a call, once it stands there."""

    async def found() -> str | None:
        query = "SELECT case_id FROM cases WHERE status = %s AND arguments LIKE %s"
        rows = both.ask(query, status, f"%{word}%")
        return str(rows[0][0]) if rows else None

    return str(await eventually(found))


def claimants(both: Together, word: str) -> list[tuple[Any, Any]]:
    """Which process called the tool, and which one held its agent."""
    return both.ask("SELECT claimed_by, held_by FROM cases WHERE arguments LIKE %s", f"%{word}%")


@pytest.mark.parametrize("sse", [False, True], ids=["http", "sse"])
@pytest.mark.parametrize("kind", ["free", "held"])
async def test_the_tool_talks_to_the_agent_that_waits_at_the_other_gateway(
    office: tuple[Together, Path], sse: bool, kind: str
) -> None:
    """Progress, elicitation and sampling, of a call that is approved by its score, and by a person at B."""
    both, notes = office
    word = f"{kind}_{secrets.token_hex(4)}"
    told: list[str | None] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with talking(both.a, sse=sse) as agent:
        asking = asyncio.create_task(agent.call_tool("far_talk", {"word": word}, progress_handler=tell))
        if kind == "held":
            reference = await case_of(both, word, status="PENDING_REVIEW")
            assert (await both.b.decide(reference, key=None)).is_success
        answer = await asyncio.wait_for(asking, WAIT_SECONDS)
    assert text_of(answer) == f"{word}: green Paris"
    assert [message for message in told if message and word in message] == [f"begin {word}", f"end {word}"]
    assert notes.read_text().splitlines().count(word) == 1
    [(claimed_by, held_by)] = claimants(both, word)
    assert claimed_by == held_by


async def test_an_agent_that_has_left_is_not_asked_and_the_call_goes_on(
    office: tuple[Together, Path],
) -> None:
    """A lets go of the agent before a person decides: the gateway that the engine calls executes it."""
    both, notes = office
    word = f"held_{secrets.token_hex(4)}"
    async with talking(both.a) as agent:
        asking = asyncio.create_task(agent.call_tool("far_talk", {"word": word}, raise_on_error=False))
        reference = await case_of(both, word, status="PENDING_REVIEW")
        answer = await asyncio.wait_for(asking, WAIT_SECONDS)
        assert reference in text_of(answer)
    assert (await both.b.decide(reference, key=None)).is_success
    await case_of(both, word, status="EXECUTED")
    [(claimed_by, held_by)] = claimants(both, word)
    assert claimed_by != held_by
    assert notes.read_text().splitlines().count(word) == 1


async def test_a_call_that_runs_at_one_gateway_is_stopped_by_its_agent_at_the_other(
    office: tuple[Together, Path],
) -> None:
    """The server at work is told by the gateway that called it."""
    both, notes = office
    word = f"free_{secrets.token_hex(4)}"

    async def stopped() -> bool:
        return f"stopped {word}" in notes.read_text().splitlines()

    async with talking(both.a) as agent, task_client(both.b.url, "any") as there:
        asking = asyncio.create_task(agent.call_tool("far_wait", {"word": word}, raise_on_error=False))
        await about(there, "tasks/cancel", await case_of(both, word, status="EXECUTING"))
        await eventually(stopped)
        await asyncio.wait_for(asking, WAIT_SECONDS)


async def test_a_gateway_that_is_frozen_with_its_agent_is_not_waited_for(
    server: PostgresServer, tmp_path: Path
) -> None:
    """The other one executes the call, once; the frozen one wakes, and finds it done."""
    async with offices(server, tmp_path) as (both, notes), talking(both.a) as agent:
        word = f"held_{secrets.token_hex(4)}"
        asking = asyncio.create_task(agent.call_tool("far_wait", {"word": word}, raise_on_error=False))
        reference = await case_of(both, word, status="PENDING_REVIEW")
        notes.with_name("release").touch()
        os.kill(both.a.process_id, signal.SIGSTOP)
        try:
            assert (await both.b.decide(reference, key=None)).is_success
            await case_of(both, word, status="EXECUTED")
        finally:
            os.kill(both.a.process_id, signal.SIGCONT)
        asking.cancel()
        [(claimed_by, held_by)] = claimants(both, word)
        assert claimed_by != held_by
        assert notes.read_text().splitlines().count(word) == 1


async def test_a_gateway_that_dies_while_it_executes_for_another_leaves_an_unknown_outcome(
    server: PostgresServer, tmp_path: Path
) -> None:
    """The tool was called, so no other gateway calls it: a person finds out what it did."""
    async with offices(server, tmp_path) as (both, notes):
        word = f"free_{secrets.token_hex(4)}"

        async def begun() -> bool:
            return word in notes.read_text().splitlines()

        with contextlib.suppress(Exception):  # the agent's connection ends with its gateway
            async with talking(both.a) as agent:
                asking = asyncio.create_task(agent.call_tool("far_wait", {"word": word}))
                await eventually(begun)
                await both.a.kill()
                asking.cancel()
        [(claimed_by, held_by)] = claimants(both, word)
        assert claimed_by == held_by
        await case_of(both, word, status="OUTCOME_UNKNOWN")
        assert notes.read_text().splitlines().count(word) == 1
