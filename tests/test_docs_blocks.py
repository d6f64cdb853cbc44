"""The blocks of the documentation run, page by page, against one gateway in a copy of the checkout."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import mcp
import pytest
import pytest_asyncio
from acceptance.npm_clients import NODE, NODE_ENVIRONMENT, NPX, NpmClients
from documentation import PAGES, ROOT, Page, checked, files, page, quoted
from fastmcp import Client
from gateway_process import (
    AGENT_KEY,
    REFERENCE,
    REVIEWER_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    output_of,
    reference_in,
)
from kept import store_settings
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from nursery import nursery
from starlette.routing import Route

from gateway import app

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "http://127.0.0.1:8000"
RUN_SECONDS = 200
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".env", ".*-tests", "node_modules", ".*_cache")
OF_NO_PAGE = {"/desk/assets", "/desk/{rest:path}"}  # the desk's files, and what takes every other path there
HTTP_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
FASTMCP = '#!/bin/sh\nexec python -m fastmcp.cli "$@"\n'  # what pip puts there, but for its Python
ON_SQLITE = {  # pages whose blocks print something else on PostgreSQL
    "docs/how-to/backup.md": "the backup of PostgreSQL names its database",
    "docs/tutorial/your-own-server.md": "a changed policy file is not in force with PostgreSQL",
}
RUN = [one for one in PAGES if any(block.is_run for block in one.blocks)]
# Runs each file whose name comes in, in one shell, as a person who types one block after the other.
SHELL = 'set -euo pipefail; exec 3<&0 </dev/null; while read -r file <&3; do . "$file"; echo "$file"; done'


def of_a_store(one: Page) -> list[pytest.MarkDecorator]:
    """The mark of a page that is about a SQLite file."""
    return [pytest.mark.sqlite(ON_SQLITE[one.name])] if one.name in ON_SQLITE else []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guide(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway in a copy of the checkout, with the files that a reader of the pages would have."""
    checkout = tmp_path_factory.mktemp("reader") / "checkout"
    shutil.copytree(ROOT, checkout, ignore=NOT_COPIED)
    shutil.rmtree(checkout / "data", ignore_errors=True)  # of a gateway that runs here; tests/data stays
    for name, text in files().items():
        (checkout / name).write_text(text)
    shutil.copy(checkout / "atlas" / "policy.toml", checkout / "policy.toml")
    typed = checkout.with_name("typed")
    typed.mkdir()
    nursery().python(typed / "python")
    (typed / "fastmcp").write_text(FASTMCP)
    (typed / "fastmcp").chmod(0o755)
    process = GatewayProcess(
        checkout,
        PATH=PATH,
        ATLAS_AGENT_KEY=AGENT_KEY,
        ATLAS_MCP_CONFIG="mcp.json",
        ATLAS_WELFARE="on",
        ATLAS_POLICY="policy.toml",
    )
    await process.start()
    port = process.url.rpartition(":")[2]
    lines = [f"ATLAS_PORT={port}", f"ATLAS_AGENT_KEY={AGENT_KEY}", f"ATLAS_REVIEWER_KEY={REVIEWER_KEY}"]
    lines += [f"{name}={value}" for name, value in store_settings(process.data).items()]
    (checkout / ".env").write_text("\n".join(lines) + "\n")
    (checkout / ".gateway.pid").write_text(str(process.process_id))
    yield process
    await process.kill()


# Blocks


@pytest.mark.timeout(400)
@pytest.mark.parametrize("one", [pytest.param(one, id=one.name, marks=of_a_store(one)) for one in RUN])
async def test_the_shell_blocks_of_a_page_run_and_print_what_they_say(
    guide: GatewayProcess, one: Page
) -> None:
    """As they stand, but for the port, and for references: each stands for a call of this test."""
    references: dict[str, str] = {}
    await held_call(guide, reason=one.name)  # so that one waits
    process = await start(guide, "bash", "-c", SHELL)
    try:
        for block, expected in one.runs():
            for written in set(REFERENCE.findall(block.text)) - references.keys():
                references[written] = await held_call(guide, reason=f"{one.name} {written}")
            output = await output_of_block(process, guide, with_ours(block.text, references))
            for line in expected.splitlines():
                learn(line, output, references)
                assert is_printed(with_ours(line, references), output), f"line {block.line}: {output}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def with_ours(text: str, references: dict[str, str]) -> str:
    return REFERENCE.sub(lambda found: references.get(found[0], found[0]), text)


def learn(expected: str, output: str, references: dict[str, str]) -> None:
    """Note which reference the gateway gave where the page shows one for the first time."""
    for written in REFERENCE.findall(expected):
        given = [found for found in REFERENCE.findall(output) if found not in references.values()]
        if written not in references and given:
            references[written] = given[0]


def is_printed(expected: str, output: str) -> bool:
    if expected == "nothing":
        return not output.strip()
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.search(rf"^\s*{pattern}\s*$", output, re.MULTILINE) is not None


async def output_of_block(process: asyncio.subprocess.Process, gateway: GatewayProcess, text: str) -> str:
    """What a block prints that has to succeed."""
    assert process.stdin is not None and process.stdout is not None
    file = gateway.directory / "block.sh"
    file.write_text(text.replace(URL, gateway.url))
    process.stdin.write(f"{file}\n".encode())
    output = b""
    while not output.endswith(f"{file}\n".encode()):
        line = await asyncio.wait_for(process.stdout.readline(), RUN_SECONDS)
        assert line, f"the block failed:\n{output.decode()}"
        output += line
    return output.decode().removesuffix(f"{file}\n")


async def held_call(gateway: GatewayProcess, *, reason: str) -> str:
    async with gateway.agent() as agent:
        return reference_in(
            await call(agent, "request_payment_extension", beneficiary_id="BEN-123", reason=reason)
        )


async def start(gateway: GatewayProcess, *command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=gateway.directory,
        env={
            "PATH": f"{gateway.directory.with_name('typed')}:{PATH}",
            "HOME": str(gateway.directory),
            "ATLAS_AGENT_KEY": AGENT_KEY,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


async def test_the_python_script_is_held_and_prints_the_outcome(guide: GatewayProcess) -> None:
    """It waits while a person decides, and then prints what the tool answered."""
    process = await start(guide, "python", "-c", checked("script").replace(URL, guide.url))
    assert process.stdout is not None
    try:
        first = (await asyncio.wait_for(process.stdout.readline(), WAIT_SECONDS)).decode()
        found = REFERENCE.search(first)
        assert first.startswith("PENDING REVIEW") and found
        await guide.decide(found[0])
        output = await output_of(process, seconds=WAIT_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert f"EXECUTED (Ref: {found[0]})" in output and "now due on" in output


# Clients


def configuration(name: str, gateway: GatewayProcess) -> dict[str, Any]:
    text = checked(name).replace(URL, gateway.url).replace("<ATLAS_AGENT_KEY>", AGENT_KEY)
    return json.loads(text)


async def tools_by(configured: dict[str, Any]) -> set[str]:
    async with Client(configured, timeout=RUN_SECONDS) as agent:
        return {tool.name for tool in await agent.list_tools()}


async def test_the_configuration_with_a_url_connects(guide: GatewayProcess) -> None:
    """What Cursor is given is taken by a client that reads the same format."""
    assert "get_outcome" in await tools_by(configuration("cursor", guide))


@pytest.mark.npm
@pytest.mark.timeout(400)
async def test_the_configuration_with_mcp_remote_connects(guide: GatewayProcess) -> None:
    """What Claude Desktop is given starts mcp-remote, which reaches the gateway with the key."""
    configured = configuration("claude-desktop", guide)
    NpmClients.install()
    server = configured["mcpServers"]["atlas"]
    assert server["command"] == "npx"
    server |= {"command": str(NODE), "args": [str(NPX), *server["args"]], "cwd": str(NpmClients.directory())}
    server["env"] |= NODE_ENVIRONMENT
    assert "get_outcome" in await tools_by(configured)


async def test_the_prompt_for_agents_names_tools_that_exist(guide: GatewayProcess) -> None:
    """What the agent is told to call is there, with the parameters that it is told of."""
    async with guide.agent() as agent:
        tools = {tool.name: tool for tool in await agent.list_tools()}
    named = quoted(checked("prompt"))
    assert named and set(named) <= tools.keys()
    assert tools["get_outcome"].input_schema["properties"].keys() == {"ref", "wait_seconds"}


@pytest.mark.parametrize("mode", ["legacy", "auto"])  # auto asks with server/discover
async def test_the_prompt_for_agents_is_what_they_are_told_when_they_connect(
    guide: GatewayProcess, mode: str
) -> None:
    """In `initialize`, and in `server/discover` of the era that has no handshake."""
    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {AGENT_KEY}"}) as http,
        mcp.Client(streamable_http_client(f"{guide.url}/mcp", http_client=http), mode=mode) as agent,
    ):
        assert agent.instructions == checked("prompt")


# Endpoints


async def test_the_endpoints_are_those_that_are_served(guide: GatewayProcess) -> None:
    """Paths and methods of the tables are those of the app; the desk's pages stand in one of their own."""
    served: dict[str, set[str]] = {}
    for route in app.routes:
        if getattr(route, "path", "") in OF_NO_PAGE:
            continue
        assert isinstance(route, Route), f"{route} is no plain route"
        methods = route.methods or await methods_answered(guide, route.path)
        served.setdefault(route.path, set()).update(methods)
    tables = page("docs/reference/endpoints.md")
    rows = [row[:2] for name in ("endpoint", "page of the desk") for row in tables.table(name)]
    told = {path: set(methods.split(", ")) for paths, methods in rows for path in quoted(paths)}
    assert told == served


async def methods_answered(gateway: GatewayProcess, path: str) -> set[str]:
    """The methods for which an MCP app has a handler; its routes are not the gateway's."""
    answered = set()
    async with httpx.AsyncClient(
        timeout=WAIT_SECONDS, headers={"Authorization": f"Bearer {AGENT_KEY}"}
    ) as client:
        for method in HTTP_METHODS:
            async with client.stream(method, gateway.url + path) as response:
                if response.status_code != 405:
                    answered.add(method)
    return answered
