"""Real servers behind a real gateway: what is approved happens there once, and nothing else does."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from acceptance.framework_process import command_of
from acceptance.npm_clients import NpmClients
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
    text_of,
)
from kept import rows_in
from sse import LeavingTransport
from upstream_process import UpstreamProcess, noted, stdio_entry

NPM = pytest.mark.npm
AUTHOR = {
    f"GIT_{who}_{what}": said
    for who in ("AUTHOR", "COMMITTER")
    for what, said in (("NAME", "Tests"), ("EMAIL", "tests@example.com"))
}


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Start a gateway with servers behind it, given as the file has them."""
    gateways: list[GatewayProcess] = []

    async def start_gateway(**entries: dict[str, Any]) -> GatewayProcess:
        config = tmp_path / "mcp.json"
        config.write_text(json.dumps({"mcpServers": entries}))
        gateways.append(GatewayProcess(tmp_path, ATLAS_MCP_CONFIG=str(config)))
        await gateways[-1].start()
        return gateways[-1]

    yield start_gateway
    for gateway in gateways:
        await gateway.kill()


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[UpstreamProcess]:
    """The fixture server over HTTP."""
    process = UpstreamProcess("http", tmp_path / "notes")
    await process.start()
    yield process
    await process.kill()


async def states(gateway: GatewayProcess) -> dict[str, Any]:
    """What /readyz says of the servers behind the gateway; the gateway itself can work all the time."""
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(f"{gateway.url}/readyz")
    assert answer.status_code == 200 and answer.json()["ready"]
    return dict(answer.json()["upstreams"])


async def until_there(gateway: GatewayProcess, *names: str) -> None:
    """Wait until servers are reached."""

    async def are_there() -> bool:
        found = await states(gateway)
        return all(found[name]["ok"] for name in names)

    await eventually(are_there)


async def approved(gateway: GatewayProcess, agent: Any, tool: str, **arguments: Any) -> Any:
    """Call a tool that waits, approve it, and read its outcome."""
    case_id = reference_in(await call(agent, tool, **arguments))
    assert (await gateway.decide(case_id)).is_success
    return await outcome(agent, case_id)


def pypi_server(name: str, *arguments: str, **env: str) -> dict[str, Any]:
    """What stands in an `mcpServers` file for one of the reference servers from PyPI."""
    python = str(command_of("reference_servers")[0])
    return {"command": python, "args": ["-m", f"mcp_server_{name}", *arguments], "env": env}


def git(repository: Path, *arguments: str) -> str:
    """What git prints there."""
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | AUTHOR).stdout


def status_of(answer: Any) -> str:
    """The status in what get_outcome answers."""
    return str(answer.structured_content["status"])


@NPM
@pytest.mark.timeout(400)
async def test_a_file_is_written_as_approved_and_not_at_all_when_rejected(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """The filesystem server of the reference servers, over stdio."""
    shared = tmp_path / "shared"
    shared.mkdir()
    gateway = await start(files=NpmClients.install().server("filesystem", str(shared)))
    await until_there(gateway, "files")
    async with gateway.agent() as agent:
        assert "files_write_file" in {tool.name for tool in await agent.list_tools()}
        content = "first line\n\tsecond – “third” \u00e4\U0001f600\n"
        good = {"path": str(shared / "good.txt"), "content": content}
        bad = {"path": str(shared / "bad.txt"), "content": content}
        good_id = reference_in(await call(agent, "files_write_file", **good))
        bad_id = reference_in(await call(agent, "files_write_file", **bad))
        assert list(shared.iterdir()) == []
        await gateway.decide(good_id)
        await gateway.decide(bad_id, "REJECTED", reason="not this one")
        assert status_of(await outcome(agent, good_id)) == "EXECUTED"
        refused = await outcome(agent, bad_id)
        assert text_of(refused).startswith("REJECTED") and "not this one" in text_of(refused)
        outside = await approved(gateway, agent, "files_write_file", path="/etc/atlas", content="no")
        assert "Access denied" in text_of(outside)
    assert [path.name for path in shared.iterdir()] == ["good.txt"]
    assert (shared / "good.txt").read_text() == content


@NPM
@pytest.mark.timeout(400)
async def test_the_memory_server_remembers_what_was_approved(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """Structured arguments arrive as they were approved."""
    memory = tmp_path / "memory.jsonl"
    entry = NpmClients.install().server("memory", MEMORY_FILE_PATH=str(memory))
    gateway = await start(memory=entry)
    await until_there(gateway, "memory")
    entity = {"name": "Sarah", "entityType": "person", "observations": ["decides", "reads"]}
    async with gateway.agent(sse=True) as agent:
        await approved(gateway, agent, "memory_create_entities", entities=[entity])
        graph = await approved(gateway, agent, "memory_read_graph")
    assert '"Sarah"' in text_of(graph)
    assert json.loads(memory.read_text()) == {"type": "entity"} | entity


@NPM
@pytest.mark.timeout(400)
async def test_the_everything_server_offers_everything(start: Callable[..., Any]) -> None:
    """Tools, images, resources and prompts of the reference server, and only tools that the file allows."""
    entry = NpmClients.install().server("everything", "stdio")
    gateway = await start(all=entry | {"atlas": {"tools": {"exclude": ["get-env"]}}})
    await until_there(gateway, "all")
    async with gateway.agent() as agent:
        tools = {tool.name for tool in await agent.list_tools()}
        assert {"all_echo", "all_get-sum", "all_get-tiny-image"} <= tools and "all_get-env" not in tools
        assert "Unknown tool" in text_of(await call(agent, "all_get-env"))
        assert "Echo: hello" in text_of(await approved(gateway, agent, "all_echo", message="hello"))
        image = await approved(gateway, agent, "all_get-tiny-image")
        assert "image" in {block.type for block in image.content}
        assert await agent.list_resources() and await agent.list_resource_templates()
        prompts = {prompt.name for prompt in await agent.list_prompts()}
        assert "all_simple-prompt" in prompts
        assert (await agent.get_prompt("all_simple-prompt")).messages


@NPM
@pytest.mark.timeout(400)
async def test_the_thinking_server_keeps_the_thoughts_that_were_approved(start: Callable[..., Any]) -> None:
    """Its process has a memory: a thought that was rejected is not in it."""
    gateway = await start(mind=NpmClients.install().server("sequential-thinking"))
    await until_there(gateway, "mind")
    thought = {"nextThoughtNeeded": True, "thoughtNumber": 1, "totalThoughts": 2}
    async with gateway.agent() as agent:
        tool = "mind_sequentialthinking"
        rejected = reference_in(await call(agent, tool, thought="not this one", **thought))
        await gateway.decide(rejected, "REJECTED")
        assert status_of(await outcome(agent, rejected)) == "REJECTED"
        told = await approved(gateway, agent, tool, thought="first \u2013 \U0001f600", **thought)
        assert '"thoughtHistoryLength": 1' in text_of(told)


@pytest.mark.timeout(400)
async def test_the_git_server_commits_what_was_approved(start: Callable[..., Any], tmp_path: Path) -> None:
    """The server from PyPI: a commit that was rejected is not in the history."""
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet")
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "first")
    (repository / "file").write_text("something")
    gateway = await start(git=pypi_server("git", "--repository", str(repository), **AUTHOR))
    await until_there(gateway, "git")
    at = {"repo_path": str(repository)}
    async with gateway.agent() as agent:
        await approved(gateway, agent, "git_git_add", files=["file"], **at)
        rejected = reference_in(await call(agent, "git_git_commit", message="not this one", **at))
        await gateway.decide(rejected, "REJECTED")
        told = await approved(gateway, agent, "git_git_commit", message="as approved \u2013 \u00e4", **at)
        assert status_of(told) == "EXECUTED" and not told.is_error
        assert status_of(await outcome(agent, rejected)) == "REJECTED"
    assert git(repository, "log", "--format=%s").splitlines() == ["as approved \u2013 \u00e4", "first"]


@pytest.mark.timeout(400)
async def test_the_fetch_server_asks_for_a_page_after_the_approval(start: Callable[..., Any]) -> None:
    """The server from PyPI: until then the page was not asked for; the prompt of the server is there."""
    asked: list[str] = []

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split()[1])
        is_page = asked[-1] == "/page"
        body = b"a page of the tests" if is_page else b""
        status = b"200 OK" if is_page else b"404 Not Found"  # of robots.txt
        writer.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-type: text/plain\r\n")
        writer.write(b"content-length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(page, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/page"
    async with listening:
        gateway = await start(web=pypi_server("fetch", "--allow-private-ips"))
        await until_there(gateway, "web")
        async with gateway.agent() as agent:
            case_id = reference_in(await call(agent, "web_fetch", url=url))
            assert asked == []
            await gateway.decide(case_id)
            assert "a page of the tests" in text_of(await outcome(agent, case_id))
            assert asked.count("/page") == 1
            assert "web_fetch" in {prompt.name for prompt in await agent.list_prompts()}


async def test_what_broke_off_is_of_unknown_outcome_and_not_repeated_after_a_restart(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """The server died in the middle of the call; the agent reads that no one knows what was done."""
    gateway = await start(far=stdio_entry(tmp_path / "notes"))
    await until_there(gateway, "far")
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "far_die", text="the last word"))
        await gateway.decide(case_id)
        first = await outcome(agent, case_id)
        assert status_of(first) == "OUTCOME_UNKNOWN"
        assert "its process ended with status 3" in text_of(first)
    await gateway.kill()
    await gateway.start()
    await until_there(gateway, "far")
    async with gateway.agent() as agent:
        assert status_of(await outcome(agent, case_id)) == "OUTCOME_UNKNOWN"
    assert noted(tmp_path / "notes") == ["the last word"]


async def test_a_gateway_that_dies_while_a_server_works_does_not_repeat_the_call(
    start: Callable[..., Any], far: UpstreamProcess
) -> None:
    """Also where the server says otherwise of its tool."""
    gateway = await start(far=far.entry)
    await until_there(gateway, "far")
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "far_hang", text="busy"))
        await gateway.decide(case_id)

        async def is_busy() -> bool:
            return noted(far.notes) == ["busy"]

        await eventually(is_busy)
    await gateway.kill()
    await gateway.start()
    async with gateway.agent() as agent:
        assert status_of(await outcome(agent, case_id)) == "OUTCOME_UNKNOWN"
    assert noted(far.notes) == ["busy"]


async def test_a_call_that_waited_while_the_gateway_was_restarted_is_executed_there(
    start: Callable[..., Any], far: UpstreamProcess
) -> None:
    """Once, with what was approved."""
    gateway = await start(far=far.entry)
    await until_there(gateway, "far")
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "far_note", text="patience"))
    await gateway.kill()
    await gateway.start()
    await gateway.decide(case_id)
    async with gateway.agent() as agent:
        assert "noted patience" in text_of(await outcome(agent, case_id))
    assert noted(far.notes) == ["patience"]


async def test_a_call_to_a_server_that_is_missing_says_so(
    start: Callable[..., Any], far: UpstreamProcess
) -> None:
    """When it is made, when it is executed, and until the server is back; then it works without a restart."""
    gateway = await start(far=far.entry, typo={"command": "no-such-program"})
    await until_there(gateway, "far")
    async with gateway.agent() as agent:
        unknown = await call(agent, "typo_anything")
        assert unknown.is_error and "The server typo cannot be reached: its command" in text_of(unknown)
        case_id = reference_in(await call(agent, "far_note", text="too late"))
        await far.kill()
        await gateway.decide(case_id)
        late = await outcome(agent, case_id)
        assert "The server far cannot be reached: " in text_of(late)
        assert not (await states(gateway))["far"]["ok"]
        await far.start()
        await until_there(gateway, "far")
        assert "noted in time" in text_of(await approved(gateway, agent, "far_note", text="in time"))
    assert noted(far.notes) == ["in time"]


@pytest.mark.parametrize("sse", [True, False], ids=["sse", "http"])
async def test_agents_are_told_when_a_server_has_a_new_tool(
    start: Callable[..., Any], far: UpstreamProcess, sse: bool
) -> None:
    """And a tool that no rule names waits for a person."""
    gateway = await start(far=far.entry)
    await until_there(gateway, "far")
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(message.method)

    transport = (LeavingTransport if sse else StreamableHttpTransport)(
        gateway.url + ("/mcp/sse" if sse else "/mcp"), auth=AGENT_KEY
    )
    async with Client(transport, mode="legacy", timeout=WAIT_SECONDS, message_handler=hear) as agent:
        await agent.list_tools()
        await approved(gateway, agent, "far_grow", name="grown")

        async def is_told() -> bool:
            return "notifications/tools/list_changed" in heard

        await eventually(is_told)
        assert "far_grown" in {tool.name for tool in await agent.list_tools()}
        assert "I am grown" in text_of(await approved(gateway, agent, "far_grown"))


async def test_no_key_reaches_a_server(
    start: Callable[..., Any], far: UpstreamProcess, tmp_path: Path
) -> None:
    """Neither the agent's nor the reviewer's; and cases name the tool as agents do."""
    gateway = await start(far=far.entry, near=stdio_entry(tmp_path / "notes"))
    await until_there(gateway, "far", "near")
    async with gateway.agent() as agent:
        for tool in ("far_received", "near_received"):
            answer = await approved(gateway, agent, tool)
            told = re.sub(r"ATLAS_TEST_\w+", "", text_of(answer))  # what the test itself has of the tests
            assert AGENT_KEY not in told and "ATLAS_" not in told
    names = rows_in(gateway.data, "SELECT DISTINCT tool_name FROM cases ORDER BY tool_name")
    assert names == [("far_received",), ("near_received",)]


async def test_a_mistake_in_the_file_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    """Not with a traceback, and without the value."""
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"crm": {"url": "${CRM_URL}"}}}))
    gateway = GatewayProcess(tmp_path, ATLAS_MCP_CONFIG=str(config))
    with pytest.raises(AssertionError, match="the gateway ended"):
        await gateway.start()
    assert gateway.newest_log().strip() == (
        f"The MCP configuration {config} cannot be used: "
        "the server crm: url: it wants the variable CRM_URL, which is not set."
    )


async def test_variables_come_from_the_env_file_too(
    start: Callable[..., Any], far: UpstreamProcess, tmp_path: Path
) -> None:
    """As they do for the settings; what they hold is not printed."""
    (tmp_path / ".env").write_text(f"FAR_URL={far.entry['url']}\nFAR_TOKEN=a-token-of-the-tests\n")
    entry = {"url": "${FAR_URL}", "headers": {"X-Token": "${FAR_TOKEN}"}}
    gateway = await start(far=entry)
    await until_there(gateway, "far")
    async with gateway.agent() as agent:
        assert "a-token-of-the-tests" in text_of(await approved(gateway, agent, "far_received"))
    assert "a-token-of-the-tests" not in gateway.newest_log()
    assert far.entry["url"] not in gateway.newest_log()
