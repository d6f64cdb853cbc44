"""What governing a call costs: a bare FastMCP call over SSE and a governed, auto-approved one, in one run.

    python benchmarks/governed_call.py [--calls 300] [--rounds 30] [--throughput-calls 480] [--without MODULE]
                                       [--earlier 100] [--fresh] [--beside DIRECTORY]
                                       [--postgresql]

The same tool, which reads a record from SQLite, is called on a bare FastMCP server and through the gateway,
where the call is assessed, recorded, executed and reported; beside them stands a tool that does nothing on
the bare server. Both servers are processes of their own and are asked in short turns by one client process,
so that a noisy machine is noisy for all. Printed are p50 and p95 in milliseconds, the CPU time of the server
process per call, and calls a second at concurrency 16 of a tool that writes; then how many times as long a
governed call takes as a bare one, which is the median of that in every round, and its quartiles. With
`--without` a second gateway, which cannot import those modules, takes its turns beside the first. With
`--beside` it is the gateway of another checkout, such as one of an earlier commit. With `--earlier` the tool
of the gateways answers with 10 KB, and each agent has read so many such answers in its session before. The
session grows with the calls that are measured. With `--fresh` each turn has a new agent, whose session is
empty at first. With `--postgresql` the last gateway keeps its cases in a server that is started for it, whose
CPU time is not counted, and one before it in SQLite.
"""

import argparse
import asyncio
import contextlib
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import SSETransport
from percentiles import p95

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from gateway_process import AGENT_KEY, GatewayProcess  # noqa: E402
from processes import cpu_seconds, served  # noqa: E402

from tests.support.postgres import postgres_server  # noqa: E402

CONCURRENCY = 16
THROUGHPUT_ROUNDS = 6
ARGUMENTS = {"beneficiary_id": "BEN-123"}
LONG_RECORD = 10_000  # characters, of words that differ

BARE_SERVER = """
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.http import create_sse_app

from atlas.database.sqlite.store import SqliteDatabase as Database
from atlas.operate.serving import bind
from atlas.welfare import WelfareOffice, add_welfare_tools

async def main(directory):
    server = FastMCP("bare")
    database = Database(directory)
    await database.open()
    office = WelfareOffice(database)
    await office.seed()
    add_welfare_tools(server, office)

    @server.tool
    async def nothing(beneficiary_id: str) -> dict[str, Any]:
        '''Do nothing.'''
        return {"beneficiary_id": beneficiary_id}

    listener = bind("127.0.0.1", 0)
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(create_sse_app(server, "/mcp/messages/", "/mcp/sse"), log_level="warning")
    await uvicorn.Server(config).serve(sockets=[listener])

with tempfile.TemporaryDirectory() as directory:
    asyncio.run(main(Path(directory)))
"""


WITHOUT = """
import runpy
import sys

sys.modules.update(dict.fromkeys({modules}))
runpy.run_path({path!r}, run_name="__main__")
"""


@contextlib.asynccontextmanager
async def governed_server(
    without: Sequence[str] = (),
    *,
    checkout: Path = ROOT,
    earlier: int = 0,
    agents: int = 0,
    database: str = "",
) -> AsyncIterator[tuple[str, int]]:
    """URL and process id of a gateway of a checkout with the embedded engine, and without some modules."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "gateway_without.py"
        script.write_text(WITHOUT.format(modules=list(without), path=str(checkout / "gateway.py")))
        keys = [f"agent:{AGENT_KEY}", *(f"agent{number}:{key_of(number)}" for number in range(agents))]
        environment = {"PYTHONPATH": str(checkout), "ATLAS_AGENT_KEY": ",".join(keys)}
        environment["ATLAS_DATABASE_URL"] = database
        gateway = GatewayProcess(Path(directory), script, **environment)
        await gateway.start()
        if earlier:
            lengthen_record(gateway.data / "atlas.db")
        try:
            yield gateway.url, gateway.process_id
        finally:
            await gateway.kill()


def key_of(number: int) -> str:
    """The key of the agent of a turn."""
    return f"{AGENT_KEY}-of-turn-{number}"


def lengthen_record(path: Path) -> None:
    """Have the tool answer with 10 KB."""
    words = " ".join(f"word{number}" for number in range(LONG_RECORD))[:LONG_RECORD]
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection, connection:
        this = "WHERE beneficiary_id = 'BEN-123'"
        (record,) = connection.execute(f"SELECT record FROM beneficiaries {this}").fetchone()  # noqa: S608
        long = json.dumps(json.loads(record) | {"history": [words]})
        connection.execute(f"UPDATE beneficiaries SET record = ? {this}", (long,))  # noqa: S608


@dataclass
class Subject:
    """What is measured: calls of a tool by a client of a server process."""

    name: str
    client: Client[Any]
    process_id: int
    tool: str
    url: str = ""  # of a gateway that has an agent for each turn
    times: list[float] = field(default_factory=list)  # milliseconds
    turns: list[float] = field(default_factory=list)  # their median in each turn
    cpu: list[float] = field(default_factory=list)  # milliseconds a call, in each turn
    rates: list[float] = field(default_factory=list)  # calls a second

    async def call(self, count: int) -> list[float]:
        """Milliseconds of calls one after the other."""
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            result = await self.client.call_tool(self.tool, ARGUMENTS)
            times.append((time.perf_counter() - begun) * 1000)
            assert result.structured_content["beneficiary_id"] == "BEN-123"
        return times

    async def take_turn(self, count: int) -> None:
        """Measure some calls more, of a new agent where there is one for each turn."""
        if not self.url:
            await self._measure(count)
            return
        agent = self.client
        transport = SSETransport(f"{self.url}/mcp/sse", auth=key_of(len(self.turns)))
        async with Client(transport) as self.client:
            await self.client.list_tools()
            await self._measure(count)
        self.client = agent

    async def _measure(self, count: int) -> None:
        used = cpu_seconds(self.process_id)
        times = await self.call(count)
        self.cpu.append((cpu_seconds(self.process_id) - used) * 1000 / count)
        self.times += times
        self.turns.append(statistics.median(times))

    def row(self) -> str:
        """The figures, in columns."""
        p50, slow = statistics.median(self.times), p95(self.times)
        rate = f"{statistics.median(self.rates):.0f}" if self.rates else ""
        per_call = statistics.median(self.cpu)
        return f"{self.name:24}{p50:10.1f}{slow:10.1f}{per_call:14.1f}{rate:>16}"


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


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What to measure; None: as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--throughput-calls", type=int, default=480)
    parser.add_argument("--without", nargs="+", default=[], metavar="MODULE")
    parser.add_argument("--earlier", type=int, default=0, metavar="COUNT")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--beside", type=Path, default=None, metavar="DIRECTORY")
    return parser.parse_args(arguments)


async def measured(options: argparse.Namespace) -> list[Subject]:
    """Start all, measure them in turns, and end them; the last one is the gateway that is asked about."""
    fresh = options.rounds if options.fresh else 0
    async with contextlib.AsyncExitStack() as stack:
        url, process_id = await stack.enter_async_context(served(BARE_SERVER))
        bare = await stack.enter_async_context(Client(SSETransport(f"{url}/mcp/sse")))
        subjects = [
            Subject("bare, doing nothing", bare, process_id, "nothing"),
            Subject("bare, the same tool", bare, process_id, "check_status"),
        ]
        if options.without:
            server = governed_server(options.without, earlier=options.earlier, agents=fresh)
            subjects.append(await governed(stack, "governed without them", server, is_fresh=options.fresh))
        if options.beside:
            checkout, name = options.beside.resolve(), f"governed, {options.beside.name}"
            server = governed_server(checkout=checkout, earlier=options.earlier, agents=fresh)
            subjects.append(await governed(stack, name, server, is_fresh=options.fresh))
        server = governed_server(earlier=options.earlier, agents=fresh)
        name = "governed, SQLite" if options.postgresql else "governed"
        subjects.append(await governed(stack, name, server, is_fresh=options.fresh))
        if options.postgresql:
            url = stack.enter_context(postgres_server()).new_database("governed")
            server = governed_server(agents=fresh, database=url)
            subjects.append(await governed(stack, "governed", server, is_fresh=options.fresh))
        await measure(subjects, options)
    return subjects


async def governed(
    stack: contextlib.AsyncExitStack,
    name: str,
    server: contextlib.AbstractAsyncContextManager[tuple[str, int]],
    *,
    is_fresh: bool,
) -> Subject:
    """A gateway, with its client."""
    url, process_id = await stack.enter_async_context(server)
    transport = SSETransport(f"{url}/mcp/sse", auth=AGENT_KEY)
    client = await stack.enter_async_context(Client(transport))
    return Subject(name, client, process_id, "check_status", url if is_fresh else "")


async def measure(subjects: list[Subject], options: argparse.Namespace) -> None:
    """Take turns."""
    for subject in subjects:
        await subject.call(max(20, options.earlier))
    for _ in range(options.rounds):
        for subject in subjects:
            await subject.take_turn(max(options.calls // options.rounds, 1))
    for _ in range(THROUGHPUT_ROUNDS):
        for subject in subjects[1:]:
            count = options.throughput_calls // THROUGHPUT_ROUNDS
            subject.rates.append(await throughput(subject.client, count))


def report(subjects: list[Subject]) -> None:
    """Print a row for each, and the ratios."""
    print(f"{'':24}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms/call':>14}{f'calls/s at {CONCURRENCY}':>16}")
    for subject in subjects:
        print(subject.row())
    for subject in subjects[:-1]:
        print(
            f"governed / {subject.name}: {ratio(subjects[-1].turns, subject.turns)}, "
            f"CPU {ratio(subjects[-1].cpu, subject.cpu)}"
        )


def ratio(longer: Sequence[float], shorter: Sequence[float]) -> str:
    """The median of what is taken in every round, and its quartiles."""
    low, middle, high = quartiles(longer, shorter)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def quartiles(longer: Sequence[float], shorter: Sequence[float]) -> tuple[float, float, float]:
    """How many times as long it took, in every round."""
    ratios = [one / other for one, other in zip(longer, shorter, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return low, middle, high


if __name__ == "__main__":
    report(asyncio.run(measured(options_of())))
