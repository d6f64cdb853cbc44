"""What an agent reads beside its calls, and what the trace of the next call says of it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eras import STATELESS, agent
from fastmcp import Client
from gateway_process import OTHER_AGENT_KEY, GatewayProcess, call, eventually
from kept import rows_in
from mcp.types import PromptReference
from upstream_process import UpstreamProcess


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway with a server behind it that has resources and prompts."""
    far = UpstreamProcess("http", tmp_path / "notes")
    await far.start()
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"far": far.entry}}))
    process = GatewayProcess(tmp_path, ATLAS_MCP_CONFIG=str(tmp_path / "mcp.json"), ATLAS_WELFARE="on")
    await process.start()
    yield process
    await process.kill()
    await far.kill()


async def trace(gateway: GatewayProcess, client: Client[Any], **meta: Any) -> tuple[bool, bool]:
    """Whether the trace of the next call says that text from outside was read, and that it is complete."""
    arguments = {"beneficiary_id": "BEN-123"}
    await client.call_tool_mcp("check_status", arguments, meta=meta or None)
    query = "SELECT trace FROM assessments ORDER BY assessed_at DESC LIMIT 1"
    made = json.loads(rows_in(gateway.data, query)[0][0])
    return made.get("read_outside", False), made.get("is_complete", True)


async def until_there(client: Client[Any]) -> None:
    """Wait until the server behind the gateway is reached."""

    async def is_there() -> bool:
        return any("today" in str(one.uri) for one in await client.list_resources())

    await eventually(is_there)


async def uri(client: Client[Any]) -> str:
    """The resource of the server, as the gateway offers it."""
    return next(str(one.uri) for one in await client.list_resources() if "today" in str(one.uri))


@pytest.mark.parametrize(("era", "sse"), [("legacy", True), ("legacy", False), (STATELESS, False)])
async def test_a_resource_that_was_read_counts_as_text_from_outside_also_after_a_restart(
    gateway: GatewayProcess, era: str, sse: bool
) -> None:
    """It can hold an order, and no value can be compared with it."""
    async with agent(gateway, era=era, sse=sse) as client:
        await until_there(client)
        assert await trace(gateway, client) == (False, True)
        assert "a note of today" in str(await client.read_resource(await uri(client)))
        assert await trace(gateway, client) == (True, False)
    async with agent(gateway, era=era, sse=sse, key=OTHER_AGENT_KEY) as other:
        assert await trace(gateway, other) == (False, True)
    if era == STATELESS:
        await gateway.kill()
        await gateway.start()
        async with agent(gateway, era=era) as client:
            assert await trace(gateway, client) == (True, False)
            named = {"io.atlas/session": "another conversation"}
            assert await trace(gateway, client, **named) == (False, True)


async def test_what_a_server_suggests_for_an_argument_counts(gateway: GatewayProcess) -> None:
    """A completion is text of the server too."""
    async with agent(gateway) as client:
        await until_there(client)
        prompt = next(one.name for one in await client.list_prompts() if "greet" in one.name)
        assert await trace(gateway, client) == (False, True)
        await client.complete(PromptReference(type="ref/prompt", name=prompt), {"name": "name", "value": "A"})
        assert await trace(gateway, client) == (True, False)


async def test_a_prompt_counts_and_what_is_not_there_or_is_the_agents_own_case_does_not(
    gateway: GatewayProcess,
) -> None:
    """Only what a server wrote."""
    async with agent(gateway) as client:
        await until_there(client)
        with pytest.raises(Exception, match=r"nknown resource|not found"):
            await client.read_resource("far+notes://nowhere")
        await call(client, "check_status", beneficiary_id="BEN-124")
        [(case_id,)] = rows_in(gateway.data, "SELECT max(case_id) FROM cases")
        await client.read_resource(f"atlas://cases/{case_id}")
        assert await trace(gateway, client) == (False, True)
        prompt = next(one.name for one in await client.list_prompts() if "greet" in one.name)
        assert "Greet Anna" in str(await client.get_prompt(prompt, {"name": "Anna"}))
        assert await trace(gateway, client) == (True, False)
    query = "SELECT actor, detail FROM ledger WHERE action = 'admit.read'"
    [(actor, detail)] = rows_in(gateway.data, query)
    assert actor == "agent" and json.loads(detail)["kind"] == "prompt"
