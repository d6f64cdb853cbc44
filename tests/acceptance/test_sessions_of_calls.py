"""Which calls belong together, as real clients make them over every transport."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from eras import STATELESS, agent
from fastmcp import Client
from gateway_process import OTHER_AGENT_KEY, GatewayProcess
from kept import rows_in
from ports import kept_port
from raw_session import RawSession

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMED = {"io.atlas/session": "conversation 1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway to which the requests of agents are claims."""
    process = GatewayProcess(tmp_path_factory.mktemp("claims"))
    await process.start()
    yield process
    await process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trusting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway whose operator says that clients, not models, write what requests say."""
    process = GatewayProcess(tmp_path_factory.mktemp("trusting"), ATLAS_TRUST_USER_REQUEST="on")
    await process.start()
    yield process
    await process.kill()


async def session(gateway: GatewayProcess, client: Client[Any], **meta: Any) -> str | None:
    """The session of a call that a client makes, as it is on disk."""
    arguments = {"beneficiary_id": "BEN-123"}
    await client.call_tool_mcp("check_status", arguments, meta=meta or None)
    return newest_session(gateway)


def newest_session(gateway: GatewayProcess) -> str | None:
    """The session of the newest case."""
    [(found,)] = rows_in(gateway.data, "SELECT session FROM cases ORDER BY opened_at DESC LIMIT 1")
    return None if found is None else str(found)


@pytest.mark.parametrize("sse", [True, False])
async def test_the_calls_of_one_mcp_session_belong_together_and_those_of_another_do_not(
    gateway: GatewayProcess, sse: bool
) -> None:
    """Two sessions of one agent at the same time, over each transport that has sessions."""
    async with agent(gateway, sse=sse) as one, agent(gateway, sse=sse) as other:
        first, second = await session(gateway, one), await session(gateway, other)
        assert first is not None and second is not None and first != second
        assert (await session(gateway, one), await session(gateway, other)) == (first, second)


@pytest.mark.parametrize("sse", [True, False])
async def test_what_a_model_may_have_written_does_not_divide_an_mcp_session(
    gateway: GatewayProcess, sse: bool
) -> None:
    """Else it could begin a session at each call, in which it has read nothing."""
    async with agent(gateway, sse=sse) as client:
        assert await session(gateway, client) == await session(gateway, client, **NAMED)


@pytest.mark.parametrize("sse", [True, False])
async def test_a_trusted_client_names_its_conversations_within_one_mcp_session_and_across_two(
    trusting: GatewayProcess, sse: bool
) -> None:
    """A host has one connection for many conversations, and a new one after it was lost."""
    async with agent(trusting, sse=sse) as client, agent(trusting, sse=sse) as later:
        unnamed, named = await session(trusting, client), await session(trusting, client, **NAMED)
        assert unnamed is not None and named is not None and unnamed != named
        assert await session(trusting, later, **NAMED) == named


async def test_without_mcp_sessions_a_call_belongs_to_what_it_names_or_to_none(
    gateway: GatewayProcess,
) -> None:
    """In 2026-07-28 every request stands alone."""
    async with agent(gateway, era=STATELESS) as client, agent(gateway, era=STATELESS) as other:
        named = await session(gateway, client, **NAMED)
        assert named is not None and named == await session(gateway, other, **NAMED)
        assert await session(gateway, client, **{"io.atlas/session": "conversation 2"}) != named
        assert await session(gateway, client) is None
        for nothing in ("", " ", 7, None, ["conversation 1"]):
            assert await session(gateway, client, **{"io.atlas/session": nothing}) is None


async def test_a_session_that_two_agents_name_alike_is_two_sessions(gateway: GatewayProcess) -> None:
    """No agent gets into the session of another one."""
    async with (
        agent(gateway, era=STATELESS) as one,
        agent(gateway, era=STATELESS, key=OTHER_AGENT_KEY) as other,
    ):
        assert await session(gateway, one, **NAMED) != await session(gateway, other, **NAMED)


async def test_an_mcp_session_is_the_same_one_after_the_gateway_was_killed_and_its_id_is_not_kept(
    tmp_path: Path,
) -> None:
    """The client goes on under its id, and the gateway has a new one inside."""
    gateway = GatewayProcess(tmp_path, ATLAS_PORT=str(kept_port()))
    await gateway.start()
    try:
        client = RawSession(gateway.url)
        await client.open()
        before = await raw_session(gateway, client)
        await gateway.kill()
        await gateway.start(ATLAS_PORT=str(urlsplit(gateway.url).port))
        assert before is not None and await raw_session(gateway, client) == before
        assert await raw_session(gateway, client) == before
        async with agent(gateway, era=STATELESS) as naming:  # which is no way into it
            stolen = {"io.atlas/session": client.session_id}
            assert await session(gateway, naming, **stolen) != before
    finally:
        await gateway.kill()
    files = b"".join(path.read_bytes() for path in gateway.data.iterdir() if path.is_file())
    assert client.session_id is not None and client.session_id.encode() not in files


async def raw_session(gateway: GatewayProcess, client: RawSession) -> str | None:
    """The session of a call that a client by hand makes."""
    response = await client.post("tools/call", name="check_status", arguments={"beneficiary_id": "BEN-123"})
    assert response.is_success, response.text
    return newest_session(gateway)
