"""What a call to a server behind the gateway costs: direct, through proxies, and governed, in one run.

    python benchmarks/upstream_call.py [--calls 150] [--rounds 3]

The upstream is a FastMCP server over streamable HTTP whose tool adds two numbers. It is called directly;
through FastMCP's `create_proxy` as it comes; through FastMCP's proxy without what makes that slow and unsafe
(one TLS context for all, no headers of the agent, a fresh session for every call); through the upstreams of
this gateway without a gate; and governed, approved by the policy. Each front is a process of its own, and one
client process asks them in turns. Printed are p50 and p95 in milliseconds, the CPU time of the front for each
call, and the ratios.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from percentiles import p95

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from gateway_process import AGENT_KEY, GatewayProcess, eventually  # noqa: E402
from processes import cpu_seconds, served  # noqa: E402

POLICY = '[[rule]]\ntool = "far_add"\nscore = 5\n'

SERVER = """
import asyncio
import sys

import httpx2
import uvicorn
from fastmcp import FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server import create_proxy
from fastmcp.server.providers.proxy import ProxyClient

from atlas.operate.serving import bind
from atlas.upstreams import Upstreams
from atlas.upstreams.config import Transport, UpstreamConfig

def direct(url):
    server = FastMCP("upstream")

    @server.tool
    def add(a: int, b: int) -> dict[str, int]:
        '''Add two numbers.'''
        return {"sum": a + b}

    return server

def proxy(url):
    return create_proxy(url)

def plain(url):
    transport = StreamableHttpTransport(url, verify=httpx2.create_ssl_context())
    return create_proxy(ProxyClient(transport, mode="2026-07-28", forward_incoming_headers=False))

def ungoverned(url):
    server = FastMCP("front")
    upstreams = Upstreams((UpstreamConfig(name="far", way=Transport.HTTP, prefix="", url=url),))
    upstreams.mount(server)
    server.upstreams = upstreams
    return server

async def main(kind, url):
    server = globals()[kind](url)
    listener = bind("127.0.0.1", 0)
    listener.listen()
    app = server.http_app(transport="http")
    serving = uvicorn.Server(uvicorn.Config(app, log_level="critical")).serve(sockets=[listener])
    print(listener.getsockname()[1], flush=True)
    if kind == "ungoverned":
        async with server.upstreams.open(server):
            await serving
    else:
        await serving

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@contextlib.asynccontextmanager
async def front(kind: str, url: str = "") -> AsyncIterator[tuple[str, int]]:
    """URL and process id of one of the servers above."""
    async with served(SERVER, kind, url) as (origin, process_id):
        yield f"{origin}/mcp", process_id


@contextlib.asynccontextmanager
async def governed(url: str) -> AsyncIterator[tuple[str, int]]:
    """URL and process id of a gateway with the upstream behind it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "mcp.json").write_text(json.dumps({"mcpServers": {"far": {"url": url}}}))
        (directory / "policy.toml").write_text(POLICY)
        gateway = GatewayProcess(
            directory,
            ATLAS_MCP_CONFIG=str(directory / "mcp.json"),
            ATLAS_POLICY=str(directory / "policy.toml"),
        )
        try:
            await gateway.start()
            yield f"{gateway.url}/mcp", gateway.process_id
        finally:
            await gateway.kill()


@dataclass
class Subject:
    """What is measured: calls of a tool by a client of a front."""

    name: str
    client: Client[Any]
    process_id: int
    tool: str = "add"
    times: list[float] = field(default_factory=list)  # milliseconds
    turns: list[float] = field(default_factory=list)  # their median in each turn
    cpu: float = 0.0  # seconds

    async def call(self, count: int) -> list[float]:
        """Milliseconds of calls one after the other."""
        times = []
        for number in range(count):
            begun = time.perf_counter()
            result = await self.client.call_tool(self.tool, {"a": number, "b": len(self.times)})
            times.append((time.perf_counter() - begun) * 1000)
            assert result.structured_content == {"sum": number + len(self.times)}, result
        return times

    async def take_turn(self, count: int) -> None:
        """Measure some calls more."""
        used = cpu_seconds(self.process_id)
        times = await self.call(count)
        self.times += times
        self.turns.append(statistics.median(times))
        self.cpu += cpu_seconds(self.process_id) - used

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.times)

    def row(self) -> str:
        """The figures, in columns."""
        slow = p95(self.times)
        return f"{self.name:34}{self.median:10.1f}{slow:10.1f}{self.cpu * 1000 / len(self.times):14.1f}"


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What to measure; None: as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


async def measured(options: argparse.Namespace) -> list[Subject]:
    """Start all, measure them in turns, and end them; the last one is governed."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url, upstream_id = await enter(front("direct"))
        fronts = [
            ("upstream, called directly", url, upstream_id),
            ("create_proxy as it comes", *await enter(front("proxy", url))),
            ("proxy without its defaults", *await enter(front("plain", url))),
            ("this gateway, without the gate", *await enter(front("ungoverned", url))),
            ("governed", *await enter(governed(url))),
        ]
        subjects = []
        for name, front_url, process_id in fronts:
            key = AGENT_KEY if name == "governed" else None
            client = await enter(Client(StreamableHttpTransport(front_url, auth=key)))
            tool = "far_add" if name == "governed" else "add"
            subjects.append(Subject(name, client, process_id, tool))
        await measure(subjects, options)
    return subjects


async def measure(subjects: list[Subject], options: argparse.Namespace) -> None:
    """Take turns, once everything is warm."""
    for subject in subjects:

        async def offers(subject: Subject = subject) -> bool:
            return subject.tool in {tool.name for tool in await subject.client.list_tools()}

        await eventually(offers)
        await subject.call(10)
    for _ in range(options.rounds):
        for subject in subjects:
            await subject.take_turn(max(options.calls // options.rounds, 1))


def report(subjects: list[Subject]) -> None:
    """Print a row for each, and the ratios."""
    print(f"{'':34}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms/call':>14}")
    for subject in subjects:
        print(subject.row())
    for subject in subjects[:-1]:
        print(f"governed / {subject.name}: {subjects[-1].median / subject.median:.2f}")


if __name__ == "__main__":
    report(asyncio.run(measured(options_of())))
