"""What reminders that are due cost agents: two gateways in one run, each with many cases that wait.

    python benchmarks/reminders.py [--waiting 10000] [--calls 10] [--sent]

One call is brought to its wait by the gateway. The others are copies: the gateway's own functions write
their rows (tests/support/waiting_cases.py). Both are asked in turns for calls that the score approves: first
while no reminder is due in either, which shows how much two equal gateways differ here. Then a reminder of
each case of the second falls due at the same moment. The turns go on until the last one is written; with
--sent until the last one is delivered to a receiver on this machine (ATLAS_NOTIFY_URL).
Printed are p50 and p95 in milliseconds, and the CPU time of a call; how many times as long a call of the
second takes, which is the median of that in every turn, and its quartiles; the CPU time that a reminder
costs; and how late the reminders were.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastmcp import Client
from governed_call import ratio
from percentiles import p95

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from gateway_process import GatewayProcess, call, reference_in  # noqa: E402
from processes import cpu_seconds, served  # noqa: E402
from waiting_cases import copy_waiting_case  # noqa: E402

from atlas.database.choose import beside  # noqa: E402
from atlas.database.location import Location  # noqa: E402
from atlas.instants import now  # noqa: E402
from atlas.outbox.notices import Kind  # noqa: E402
from atlas.outbox.tables import deliveries, notices  # noqa: E402
from atlas.reviews.tables import due_times  # noqa: E402

TOOL = "modify_welfare_record"
SOON = timedelta(seconds=30)  # until they are due: longer than the clock sleeps without looking
WARM = 5  # turns before anything is measured
REMINDERS = due_times.c.kind == "reminder", due_times.c.step == 1
WRITTEN = sa.select(due_times.c.done_at).where(*REMINDERS)
SENT = (
    sa.select(deliveries.c.sent_at)
    .join(notices, notices.c.notice_id == deliveries.c.notice_id)
    .where(notices.c.kind == Kind.REMINDED.value)
)
RECEIVER = """
import asyncio

async def take(reader, writer):
    while not reader.at_eof():
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        lines = head.lower().split(b"\\r\\n")
        await reader.readexactly(next(int(line[15:]) for line in lines if line.startswith(b"content-length")))
        writer.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")

async def serve(reader, writer):
    try:
        await take(reader, writer)
    except asyncio.IncompleteReadError:  # the gateway has ended
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@dataclass
class Subject:
    """A gateway, and what calls of it took in milliseconds: each, and the median of each turn."""

    name: str
    gateway: GatewayProcess
    client: Client[Any]
    times: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    cpu: float = 0.0  # seconds, of all turns

    async def take_turn(self, count: int) -> None:
        """Make some calls, one after the other."""
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            await self.client.call_tool("check_status", {"beneficiary_id": "BEN-123"})
            times.append((time.perf_counter() - begun) * 1000)
        self.times += times
        self.turns.append(statistics.median(times))

    def begin(self) -> None:
        """Begin to measure."""
        self.times, self.turns, self.cpu = [], [], -cpu_seconds(self.gateway.process_id)

    def end(self) -> None:
        """Note the CPU time since then."""
        self.cpu += cpu_seconds(self.gateway.process_id)

    def row(self, phase: str) -> str:
        """The figures, in columns."""
        p50, slow = statistics.median(self.times), p95(self.times)
        figures = f"{p50:10.1f}{slow:10.1f}{len(self.times):10}{self.cpu:10.2f}"
        return f"{phase + ', ' + self.name:42}{figures}{self.cpu * 1000 / len(self.times):10.1f}"


async def take_turns(subjects: Sequence[Subject], calls: int, until: Callable[[], bool]) -> None:
    """Ask both in turns, each as often first as second."""
    for subject in subjects:
        subject.begin()
    order = list(subjects)
    while not until():
        for subject in order:
            await subject.take_turn(calls)
        order.reverse()
    for subject in subjects:
        subject.end()


@contextlib.asynccontextmanager
async def waiting_gateway(
    directory: Path, count: int, environment: dict[str, str]
) -> AsyncIterator[GatewayProcess]:
    """A gateway in which so many calls wait for a person."""
    gateway = GatewayProcess(directory, **environment)
    await gateway.start()
    async with gateway.agent() as agent:
        held = await call(agent, TOOL, **arguments(0))
    await gateway.stop()
    made = await copy_waiting_case(
        gateway.data, reference_in(held), count - 1, arguments=lambda number: arguments(number + 1)
    )
    assert len(made) == count - 1
    told = notices.update().values(spread_at=now())  # that they wait
    beside(Location(directory=gateway.data)).change(lambda connection: connection.execute(told))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


def arguments(number: int) -> dict[str, Any]:
    """The arguments of a call that a person decides on."""
    return {"beneficiary_id": f"BEN-{number}", "changes": {"status": "suspended"}}


def all_due(gateway: GatewayProcess, at: datetime) -> None:
    """Have the first reminder of every case fall due at a moment."""
    move = due_times.update().where(*REMINDERS).values(due_at=at)
    beside(Location(directory=gateway.data)).change(lambda connection: connection.execute(move))


def moments(gateway: GatewayProcess, query: sa.Select[Any]) -> list[datetime]:
    """When reminders were written or sent, of those that are."""
    engine = sa.create_engine(f"sqlite:///{gateway.data / 'atlas.db'}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        found = [moment for moment in connection.execute(query).scalars() if moment is not None]
    engine.dispose()
    return sorted(found)


async def run(options: argparse.Namespace) -> None:
    """Take turns until the last reminder is written or sent, and print."""
    async with contextlib.AsyncExitStack() as stack:
        environment = {}
        if options.sent:
            origin, _ = await stack.enter_async_context(served(RECEIVER))
            environment = {"ATLAS_NOTIFY_URL": f"{origin}/notices"}
        subjects = []
        for name in ("first gateway", "second gateway"):
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            waiting = waiting_gateway(directory, options.waiting, environment)
            gateway = await stack.enter_async_context(waiting)
            client = await stack.enter_async_context(gateway.agent())
            subjects.append(Subject(name, gateway, client))
        await measure(subjects, options)


async def measure(subjects: Sequence[Subject], options: argparse.Namespace) -> None:
    """Take turns with no reminder due, and with reminders due in the second gateway, and print."""
    calm, busy = subjects
    await take_turns(subjects, options.calls, lambda: len(calm.turns) > WARM)
    at = now() + SOON
    all_due(busy.gateway, at)
    print(f"{'':42}{'p50, ms':>10}{'p95, ms':>10}{'calls':>10}{'CPU, s':>10}{'each, ms':>10}")
    await take_turns(subjects, options.calls, lambda: now() >= at)
    print_phase(subjects, "none due")
    last = SENT if options.sent else WRITTEN
    await take_turns(subjects, options.calls, lambda: len(moments(busy.gateway, last)) == options.waiting)
    print_phase(subjects, "due in the second")
    print(f"CPU of a reminder, ms: {(busy.cpu - calm.cpu) * 1000 / options.waiting:.2f}")
    for name, query in (("written", WRITTEN), ("sent", SENT)):
        late = [(moment - at).total_seconds() for moment in moments(busy.gateway, query)]
        if late:
            print(f"{len(late)} {name}, late by s: median {statistics.median(late):.1f}, last {late[-1]:.1f}")


def print_phase(subjects: Sequence[Subject], phase: str) -> None:
    """Print the figures of a phase, and what is taken in every turn."""
    calm, busy = subjects
    print(calm.row(phase), busy.row(phase), sep="\n")
    print(f"{phase}: a call of the second, beside one of the first: {ratio(busy.turns, calm.turns)}")


def main() -> None:
    """Read the command, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--sent", action="store_true", help="have the reminders sent, and wait for that")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
