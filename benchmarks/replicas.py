"""What several gateways carry on one PostgreSQL and one engine: calls a second, and the CPU time of a call.

    python benchmarks/replicas.py [--gateways 1 2 4] [--calls 240] [--rounds 4] [--entries 4000]
                                  [--at-once 16]

For each number of gateways the same calls of a tool that writes are made, so many at once, spread over all of
them; nginx spreads the steps of the engine. Beside them stands one gateway with SQLite and the same engine.
They take turns, so that a noisy machine is noisy for all. Printed are calls a second, the CPU of a call in
the gateways, the engine and PostgreSQL, and for how long of a call the lock of all writes was held, which is
looked at 200 times a second. From these comes where the line bends on machines of their own: the parts that
are one for all, the engine's process and that lock, carry as many calls a second as their time allows.

Then the ledger's chain alone: entries a second that so many processes write, each entry a change of its own.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from fastmcp import Client

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from engine_elsewhere import EVENT_KEY, OLD_KEY, engine  # noqa: E402
from gateway_process import GatewayProcess  # noqa: E402
from nginx_process import program  # noqa: E402
from processes import cpu_seconds  # noqa: E402

from atlas import ledger  # noqa: E402
from atlas.database.postgresql.address import Address  # noqa: E402
from atlas.database.postgresql.store import PostgresDatabase  # noqa: E402
from atlas.database.postgresql.transactions import WRITE_LOCK  # noqa: E402
from tests.support.postgres import PostgresServer, postgres_server  # noqa: E402

LOOK_SECONDS = 0.005
NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_max_body_size 16m;
    upstream gateways {{ {servers} keepalive 32; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://gateways; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


@dataclass
class Office:
    """Some gateways, and the processes that work for them."""

    name: str
    gateways: list[GatewayProcess]
    clients: list[Client[Any]]
    engine_id: int
    postgres: PostgresServer | None
    database: str = ""
    rates: list[float] = field(default_factory=list)  # calls a second
    cpu: dict[str, list[float]] = field(default_factory=dict)  # milliseconds a call, of each part
    held: list[float] = field(default_factory=list)  # milliseconds a call in which the lock was held
    made: int = 0
    at_once: int = 16

    async def take_turn(self, count: int) -> None:
        """Make calls, and note what they cost."""
        before, begun = self._used(), time.perf_counter()
        async with looked_at(self.postgres, self.database) as looks:
            await self._call(count)
        seconds = time.perf_counter() - begun
        self.rates.append(count / seconds)
        for part, used in self._used().items():
            self.cpu.setdefault(part, []).append((used - before[part]) * 1000 / count)
        if looks:
            self.held.append(statistics.mean(looks) * seconds * 1000 / count)

    async def _call(self, count: int) -> None:
        numbers = iter(range(self.made, self.made + count))
        self.made += count

        async def work(client: Client[Any]) -> None:
            for number in numbers:
                document = f"{self.name} {number}"
                arguments = {
                    "days": 1,
                    "reason": "illness",
                    "documents": [document],
                    "beneficiary_id": "BEN-123",
                }
                await client.call_tool("request_extension", arguments)

        await asyncio.gather(*(work(self.clients[one % len(self.clients)]) for one in range(self.at_once)))

    def _used(self) -> dict[str, float]:
        used = {
            "gateways": sum(cpu_seconds(gateway.process_id) for gateway in self.gateways),
            "engine": cpu_seconds(self.engine_id),
        }
        if self.postgres is not None:
            assert self.postgres.process is not None
            used["PostgreSQL"] = sum(map(cpu_seconds, family(self.postgres.process.pid)))
        return used


def family(process_id: int) -> Iterator[int]:
    """A process and its children."""
    yield process_id
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    yield from map(int, children.split())


@contextlib.asynccontextmanager
async def looked_at(server: PostgresServer | None, database: str) -> AsyncIterator[list[int]]:
    """Whether the lock of all writes is held, looked at again and again."""
    looks: list[int] = []
    if server is None:
        yield looks
        return
    held = (
        "SELECT count(*) FROM pg_locks"
        " WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    parts = [WRITE_LOCK >> 32, WRITE_LOCK & 0xFFFFFFFF]
    async with await psycopg.AsyncConnection.connect(server.url(database), autocommit=True) as connection:

        async def look() -> None:
            while True:
                row = await (await connection.execute(held, parts)).fetchone()
                looks.append(0 if row is None else int(row[0]))
                await asyncio.sleep(LOOK_SECONDS)

        looking = asyncio.create_task(look())
        try:
            yield looks
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


@contextlib.asynccontextmanager
async def office(name: str, number: int, server: PostgresServer | None) -> AsyncIterator[Office]:
    """So many gateways on one store and one engine."""
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine_url = await stack.enter_async_context(engine(directory / "engine"))
        port = free_port()
        database = f"replicas_{number}"
        url = "" if server is None else server.new_database(database)
        gateways = []
        for one in range(number):
            gateway = GatewayProcess(
                made(directory / str(one)),
                ATLAS_DATABASE_URL=url,
                ATLAS_GRACE_SECONDS="30",
                INNGEST_BASE_URL=engine_url,
                INNGEST_EVENT_KEY=EVENT_KEY,
                INNGEST_SIGNING_KEY=f"signkey-test-{OLD_KEY}",
                INNGEST_SERVE_ORIGIN=f"http://127.0.0.1:{port}",
            )
            gateways.append(gateway)
            # The first alone: it makes the tables, and is behind nginx when the others come.
            await gateway.start()
            stack.push_async_callback(gateway.kill)
        await stack.enter_async_context(nginx(made(directory / "nginx"), port, gateways))
        clients = [await stack.enter_async_context(gateway.agent(sse=True)) for gateway in gateways]
        yield Office(name, gateways, clients, engine_process(), server, database)


def made(directory: Path) -> Path:
    """A directory that is there."""
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def engine_process() -> int:
    """The number of the engine's process: the newest child of this one that was started with its module."""
    for child in reversed(list(family(os.getpid()))[1:]):
        if "atlas.engine" in Path(f"/proc/{child}/cmdline").read_text():
            return child
    raise LookupError("the engine's process")


@contextlib.asynccontextmanager
async def nginx(directory: Path, port: int, gateways: Sequence[GatewayProcess]) -> AsyncIterator[None]:
    """What spreads the steps of the engine over the gateways."""
    found = program()
    assert found is not None, "nginx is missing: ./setup.sh install"
    servers = " ".join(f"server {gateway.url.removeprefix('http://')};" for gateway in gateways)
    (directory / "nginx.conf").write_text(NGINX.format(servers=servers, port=port))
    binary = shutil.copy(found, directory / "nginx")
    os.chmod(binary, 0o700)
    process = await asyncio.create_subprocess_exec(
        binary, "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "error.log"
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def write_entries(url: str, directory: str, count: int, pipe: Any) -> None:
    """Write entries of the ledger, 64 at a time, each a change of its own; tells when it begins and ends."""

    def one(connection: Any) -> None:
        ledger.append(connection, "evt_0", ledger.Action.COMMENTED, actor="anna", detail={"text": "seen"})

    async def write() -> None:
        database = PostgresDatabase(Address(url), Path(directory))
        await database.open()
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        numbers = iter(range(count))

        async def work() -> None:
            for _ in numbers:
                await database.write(one)

        await asyncio.gather(*(work() for _ in range(64)))
        pipe.send("done")
        await database.close()

    asyncio.run(write())


def chain(server: PostgresServer, processes: int, count: int) -> float:
    """Entries a second that some processes write together."""
    url = server.new_database(f"chain_{processes}")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        pipes = []
        for one in range(processes):
            ours, theirs = context.Pipe()
            where = str(made(Path(directory) / str(one)))
            context.Process(target=write_entries, args=(url, where, count // processes, theirs)).start()
            pipes.append(ours)
            ours.recv()  # the first alone: it makes the tables
        begun = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        for pipe in pipes:
            pipe.recv()
        return count / (time.perf_counter() - begun)


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gateways", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--calls", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--entries", type=int, default=4000)
    parser.add_argument("--at-once", type=int, default=16)
    options = parser.parse_args()
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(postgres_server())
        offices = [await stack.enter_async_context(office("SQLite, 1", 1, None))]
        for number in options.gateways:
            name = f"PostgreSQL, {number}"
            offices.append(await stack.enter_async_context(office(name, number, server)))
        for one in offices:
            one.at_once = options.at_once
            await one.take_turn(32)
            one.rates, one.cpu, one.held = [], {}, []
        for _ in range(options.rounds):
            for one in offices:
                await one.take_turn(max(options.calls // options.rounds, 1))
        report(offices)
        print("\nentries of the ledger a second, each a change of its own:")
        for processes in options.gateways:
            rate = await asyncio.to_thread(chain, server, processes, options.entries)
            print(f"  {processes} processes: {rate:,.0f}")


def report(offices: Sequence[Office]) -> None:
    """A row for each, and where the line bends."""
    parts = ("gateways", "engine", "PostgreSQL")
    titles = "".join(f"{f'{part} ms':>16}" for part in parts)
    rate = f"calls/s at {offices[0].at_once}"
    print(f"{'':16}{rate:>16}{titles}{'lock held ms':>16}   (CPU and lock: of a call)")
    for one in offices:
        costs = "".join(f"{statistics.median(one.cpu.get(part, [0])):16.1f}" for part in parts)
        held = f"{statistics.median(one.held):16.1f}" if one.held else f"{'':16}"
        print(f"{one.name:16}{statistics.median(one.rates):16.1f}{costs}{held}")
    first, *others = offices
    for one in others:
        ratios = [a / b for a, b in zip(one.cpu["gateways"], first.cpu["gateways"], strict=True)]
        print(f"{one.name} / {first.name}, CPU of the gateways: {statistics.median(ratios):.2f}")
    most = others[-1]
    engine_ms, lock_ms = statistics.median(most.cpu["engine"]), statistics.median(most.held)
    gateway_ms = statistics.median(most.cpu["gateways"])
    bend = min(1000 / engine_ms, 1000 / lock_ms) / (1000 / gateway_ms)
    print(
        f"\nOn machines of their own: a gateway carries {1000 / gateway_ms:.0f} calls a second, the engine's"
        f" one process {1000 / engine_ms:.0f}, the lock of all writes {1000 / lock_ms:.0f};"
        f" so the line bends at {bend:.1f} gateways."
    )


if __name__ == "__main__":
    asyncio.run(main())
