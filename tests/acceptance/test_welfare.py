"""The example office beside real servers: no agent is offered it unless the operator says so."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_process import AGENT_KEY, REVIEWER_KEY, ROOT, GatewayProcess, call, reference_in, text_of

PROGRAM = Path(__file__).parents[1] / "support" / "host_program.py"
OF_GATEWAY = {"get_outcome", "give_information"}  # which are never governed
OFFICE = {"check_status", "request_extension", "request_payment_extension", "modify_welfare_record"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway; nothing of it is started."""
    one = GatewayProcess(tmp_path)
    yield one
    if not one.has_ended:
        await one.kill()


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., str]:
    """Write a file with one server by hand, and what else stands in its entry."""
    program = tmp_path / "server.py"
    program.write_text(PROGRAM.read_text())

    def written(**more: Any) -> str:
        entry = {"command": sys.executable, "args": [str(program)], **more}
        path = tmp_path / "mcp.json"
        path.write_text(json.dumps({"mcpServers": {"files": entry}}))
        return str(path)

    return written


async def handshake(gateway: GatewayProcess) -> tuple[int, str]:
    """How `python test_handshake.py URL` ends, and what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "test_handshake.py"),
        gateway.url,
        env={"ATLAS_AGENT_KEY": AGENT_KEY, "ATLAS_REVIEWER_KEY": REVIEWER_KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def tools(gateway: GatewayProcess) -> set[str]:
    """What an agent is offered."""
    async with gateway.agent() as agent:
        return {tool.name for tool in await agent.list_tools()}


async def test_the_office_is_off_once_a_server_is_named_and_the_handshake_says_what_to_do(
    gateway: GatewayProcess, config: Callable[..., str]
) -> None:
    """The agents of a bank are not offered modify_welfare_record; what waited for the office is not done."""
    await gateway.start()
    async with gateway.agent() as agent:
        changes = {"monthly_amount_eur": 1}
        held = await call(agent, "modify_welfare_record", beneficiary_id="BEN-123", changes=changes)
    await gateway.kill()
    await gateway.start(ATLAS_MCP_CONFIG=config(atlas={"trust": "outside"}))
    assert "upstreams  files (speaks for third parties)" in gateway.newest_log()
    assert "welfare    off (ATLAS_MCP_CONFIG names servers); ATLAS_WELFARE=on" in gateway.newest_log()
    assert await tools(gateway) == OF_GATEWAY | {"files_seen", "files_write", "files_remove"}
    async with gateway.agent() as agent:
        assert "Unknown tool" in text_of(await call(agent, "check_status", beneficiary_id="BEN-123"))
    await gateway.decide(reference_in(held))
    status, said = await handshake(gateway)
    assert status == 1 and "FAILED. The example office is switched off" in said
    assert "write ATLAS_WELFARE=on into .env and start the gateway again." in said
    await gateway.kill()
    await gateway.start(ATLAS_MCP_CONFIG=config(), ATLAS_WELFARE="on")
    assert "welfare    on: agents are offered the example office" in gateway.newest_log()
    assert await tools(gateway) >= OFFICE | {"files_seen"}
    async with gateway.agent() as agent:
        record = await call(agent, "check_status", beneficiary_id="BEN-123")
    assert record.structured_content["monthly_amount_eur"] == 412
    status, said = await handshake(gateway)
    assert status == 0, said


async def test_a_file_whose_servers_are_all_switched_off_leaves_the_office(
    gateway: GatewayProcess, config: Callable[..., str]
) -> None:
    """It names no server; and without any, ATLAS_WELFARE=off leaves an agent only the two of the gateway."""
    await gateway.start(ATLAS_MCP_CONFIG=config(enabled=False))
    assert await tools(gateway) == OFFICE | OF_GATEWAY and "welfare " not in gateway.newest_log()
    await gateway.kill()
    await gateway.start(ATLAS_WELFARE="off")
    assert "welfare    off (ATLAS_WELFARE is off)" in gateway.newest_log()
    assert await tools(gateway) == OF_GATEWAY
