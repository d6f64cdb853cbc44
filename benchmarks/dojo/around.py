"""What stands around a play: the suite's server, the gateway before it, the agents, and the person."""

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import REVIEWER_KEY, ROOT, WAIT_SECONDS, GatewayProcess

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts no one: reading the roots costs 35 ms a client
SERVER = Path(__file__).parent / "server.py"
SHIPPED = ROOT / "atlas" / "policy.toml"
PERSON, GENERAL = 'unknown_tools = "person"', 'unknown_tools = "general"'


class Upstream:
    """A suite as a server, and what the benchmark asks of it beside the gateway."""

    def __init__(self, origin: str, tools: dict[str, str]) -> None:
        self.origin = origin
        self.tools = tools  # their descriptions
        self._client = httpx.AsyncClient(base_url=origin, timeout=WAIT_SECONDS, verify=PLAIN)

    async def ask(self, path: str) -> Any:
        """Read what it knows."""
        return (await self._client.get(path)).raise_for_status().json()

    async def post(self, path: str, play: dict[str, Any]) -> dict[str, Any]:
        """Name a play to it."""
        told: dict[str, Any] = (await self._client.post(path, json=play)).raise_for_status().json()
        return told

    async def close(self) -> None:
        """Give back the connection."""
        await self._client.aclose()


@contextlib.asynccontextmanager
async def upstream_of(suite: str, options: argparse.Namespace) -> AsyncIterator[Upstream]:
    """The server of a suite, as a process."""
    arguments = [
        options.python,
        str(SERVER),
        suite,
        *([str(options.recorded.resolve())] if options.recorded else []),
    ]
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE, cwd="/")
    try:
        assert process.stdout is not None
        port = await asyncio.wait_for(process.stdout.readline(), WAIT_SECONDS)
        if not port:
            sys.exit(
                "The server of the suite did not start: install requirements-agentdojo.txt, or name --python."
            )
        origin = f"http://127.0.0.1:{int(port)}"
        async with Client(StreamableHttpTransport(f"{origin}/mcp")) as client:
            tools = {tool.name: tool.description or "" for tool in await client.list_tools()}
        upstream = Upstream(origin, tools)
        yield upstream
        await upstream.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def gateway_before(directory: Path, suite: str, upstream: Upstream, agents: int) -> GatewayProcess:
    """A gateway with the suite behind it, the shipped policy but for unknown tools, and so many agents."""
    (directory / "mcp.json").write_text(
        json.dumps({"mcpServers": {suite: {"url": f"{upstream.origin}/mcp"}}})
    )
    shipped = SHIPPED.read_text()
    assert PERSON in shipped, f"{SHIPPED} has no line {PERSON}"
    (directory / "policy.toml").write_text(shipped.replace(PERSON, GENERAL))
    return GatewayProcess(
        directory,
        ATLAS_AGENT_KEY=",".join(f"p{number}:{key_of(number)}" for number in range(agents)),
        ATLAS_MCP_CONFIG=str(directory / "mcp.json"),
        ATLAS_POLICY=str(directory / "policy.toml"),
        ATLAS_TRUST_USER_REQUEST="on",
    )


def key_of(number: int) -> str:
    """The key of the agent of a play; no other play is in what that agent read before."""
    return f"key-of-play-{number:06d}"  # short: all keys have to fit into one variable of 128 KB


def person_of(gateway: GatewayProcess) -> httpx.AsyncClient:
    """The client of the person who decides."""
    headers = {"Authorization": f"Bearer {REVIEWER_KEY}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=WAIT_SECONDS, verify=PLAIN)


def agent_with(key: str, gateway: GatewayProcess) -> Client[Any]:
    """The client of an agent, which opens a session."""
    transport = StreamableHttpTransport(f"{gateway.url}/mcp", auth=key, verify=PLAIN)
    return Client(transport, timeout=WAIT_SECONDS)
