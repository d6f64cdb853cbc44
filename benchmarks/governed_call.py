"""What governing a call costs: a bare FastMCP call over SSE and a governed, auto-approved one, in one run.

    python benchmarks/governed_call.py [--calls 200] [--throughput-calls 320] [--rounds 3]

Both servers are processes of their own and are asked in turns by the same client, so that a noisy machine is
noisy for both. Printed are p50 and p95 in milliseconds, their ratio, the CPU time of each server process per
call, and calls a second at concurrency 16. The governed call is assessed, recorded, executed and reported.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import SSETransport

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from gateway_process import AGENT_KEY, GatewayProcess  # noqa: E402

CONCURRENCY = 16
ARGUMENTS = {"beneficiary_id": "BEN-123"}

BARE_SERVER = """
import sys
from typing import Any
import uvicorn
from fastmcp import FastMCP
from fastmcp.server.http import create_sse_app
from atlas.serve import bind

server = FastMCP("bare")

@server.tool
async def check_status(beneficiary_id: str) -> dict[str, Any]:
    '''Read the record of one beneficiary.'''
    return {"beneficiary_id": beneficiary_id, "status": "active", "history": []}

@server.tool
async def request_extension(beneficiary_id: str, days: int, reason: str, documents: list[str]) -> str:
    '''Give a beneficiary more days.'''
    return "done"

listener = bind("127.0.0.1", 0)
listener.listen()
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(create_sse_app(server, "/mcp/messages/", "/mcp/sse"), log_level="warning")
uvicorn.Server(config).run(sockets=[listener])
"""


@contextlib.asynccontextmanager
async def bare_server() -> AsyncIterator[tuple[str, int]]:
    """URL and process id of a FastMCP server with one tool."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BARE_SERVER, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), 40))
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def governed_server() -> AsyncIterator[tuple[str, int]]:
    """URL and process id of a gateway with the embedded engine."""
    with tempfile.TemporaryDirectory() as directory:
        gateway = GatewayProcess(Path(directory))
        await gateway.start()
        try:
            yield gateway.url, gateway.process_id
        finally:
            await gateway.kill()


async def timed_calls(client: Client[Any], count: int) -> list[float]:
    """Milliseconds of calls one after the other."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        result = await client.call_tool("check_status", ARGUMENTS)
        times.append((time.perf_counter() - begun) * 1000)
        assert result.structured_content["beneficiary_id"] == "BEN-123"
    return times


async def throughput(client: Client[Any], count: int) -> float:
    """Calls a second with CONCURRENCY calls in flight, each with arguments of its own."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            # The same call at the same time would be one case, so the documents differ.
            arguments = ARGUMENTS | {"days": 1, "reason": "illness", "documents": [f"D-{number}"]}
            await client.call_tool("request_extension", arguments)

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return count / (time.perf_counter() - begun)


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--throughput-calls", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    async with (
        bare_server() as bare,
        governed_server() as governed,
        Client(SSETransport(f"{bare[0]}/mcp/sse")) as bare_client,
        Client(SSETransport(f"{governed[0]}/mcp/sse", auth=AGENT_KEY)) as governed_client,
    ):
        await measure({"bare": (bare_client, bare[1]), "governed": (governed_client, governed[1])}, options)


async def measure(servers: dict[str, tuple[Client[Any], int]], options: argparse.Namespace) -> None:
    """Take turns between the servers and print a row for each."""
    times: dict[str, list[float]] = {name: [] for name in servers}
    rates: dict[str, list[float]] = {name: [] for name in servers}
    cpu: dict[str, float] = {}
    for client, _ in servers.values():
        await timed_calls(client, 20)
    for name, (_, process_id) in servers.items():
        cpu[name] = -cpu_seconds(process_id)
    for _ in range(options.rounds):
        for name, (client, _) in servers.items():
            times[name] += await timed_calls(client, options.calls // options.rounds)
    for name, (_, process_id) in servers.items():
        cpu[name] += cpu_seconds(process_id)
    for _ in range(options.rounds):
        for name, (client, _) in servers.items():
            rates[name].append(await throughput(client, options.throughput_calls // options.rounds))
    print(f"{'':10}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms/call':>14}{f'calls/s at {CONCURRENCY}':>16}")
    for name in servers:
        p50, p95 = statistics.median(times[name]), statistics.quantiles(times[name], n=20)[-1]
        per_call = cpu[name] * 1000 / len(times[name])
        print(f"{name:10}{p50:10.1f}{p95:10.1f}{per_call:14.1f}{statistics.median(rates[name]):16.0f}")
    ratio = statistics.median(times["governed"]) / statistics.median(times["bare"])
    print(f"ratio of the medians: {ratio:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
