"""What reminders that are due cost agents: two gateways in one run, each with many cases that wait.

    python benchmarks/reminders.py [--waiting 10000] [--calls 10]

One call is brought to its wait by the gateway. The others are copies: the gateway's own functions write
their rows (tests/support/waiting_cases.py). In one gateway a reminder of each case falls due at the same
moment, in the other none does. From that moment on both are asked in turns for calls that the score approves,
until the last reminder is written. Printed are p50 and p95 in milliseconds; how many times as long a call
takes while reminders are due, which is the median of that in every turn, and its quartiles; the CPU time of
both; and how late the reminders were.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastmcp import Client
from governed_call import ratio

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from gateway_process import GatewayProcess, call, reference_in  # noqa: E402
from processes import cpu_seconds  # noqa: E402
from waiting_cases import copy_waiting_case  # noqa: E402

from atlas.database.beside import change  # noqa: E402
from atlas.instants import now  # noqa: E402
from atlas.reviews.tables import due_times  # noqa: E402

TOOL = "modify_welfare_record"
SOON = timedelta(seconds=25)  # until they are due: longer than the clock sleeps without looking
REMINDERS = due_times.c.kind == "reminder", due_times.c.step == 1


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

    def row(self) -> str:
        """The figures, in columns."""
        p50, p95 = statistics.median(self.times), statistics.quantiles(self.times, n=20)[-1]
        return f"{self.name:24}{p50:10.1f}{p95:10.1f}{len(self.times):10}{self.cpu:14.2f}"


@contextlib.asynccontextmanager
async def waiting_gateway(directory: Path, count: int) -> AsyncIterator[GatewayProcess]:
    """A gateway in which so many calls wait for a person."""
    gateway = GatewayProcess(directory)
    await gateway.start()
    async with gateway.agent() as agent:
        held = await call(agent, TOOL, **arguments(0))
    await gateway.stop()
    made = await copy_waiting_case(
        gateway.data, reference_in(held), count - 1, arguments=lambda number: arguments(number + 1)
    )
    assert len(made) == count - 1
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
    change(gateway.data, lambda connection: connection.execute(move))


def done(gateway: GatewayProcess) -> list[datetime]:
    """When the reminders were written, of those that are."""
    engine = sa.create_engine(f"sqlite:///{gateway.data / 'atlas.db'}", isolation_level="AUTOCOMMIT")
    query = sa.select(due_times.c.done_at).where(*REMINDERS, due_times.c.done_at.is_not(None))
    with engine.connect() as connection:
        found = list(connection.execute(query.order_by(due_times.c.done_at)).scalars())
    engine.dispose()
    return found


async def run(options: argparse.Namespace) -> None:
    """Take turns until the last reminder is written, and print."""
    async with contextlib.AsyncExitStack() as stack:
        subjects = []
        for name in ("no reminder due", "reminders due"):
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            gateway = await stack.enter_async_context(waiting_gateway(directory, options.waiting))
            client = await stack.enter_async_context(gateway.agent())
            subjects.append(Subject(name, gateway, client))
        calm, busy = subjects
        at = now() + SOON
        all_due(busy.gateway, at)
        while now() < at:
            for subject in subjects:
                await subject.take_turn(options.calls)
        for subject in subjects:
            subject.times, subject.turns, subject.cpu = [], [], -cpu_seconds(subject.gateway.process_id)
        while len(done(busy.gateway)) < options.waiting:
            for subject in subjects:
                await subject.take_turn(options.calls)
        for subject in subjects:
            subject.cpu += cpu_seconds(subject.gateway.process_id)
        late = [(moment - at).total_seconds() for moment in done(busy.gateway)]
    print(f"{'':24}{'p50, ms':>10}{'p95, ms':>10}{'calls':>10}{'CPU, s':>14}")
    for subject in subjects:
        print(subject.row())
    print(f"a call while reminders are due, beside one while none is: {ratio(busy.turns, calm.turns)}")
    print(f"CPU of the gateway with reminders, beside the other: {busy.cpu / calm.cpu:.2f}")
    each = (busy.cpu - calm.cpu) * 1000 / options.waiting
    print(f"CPU of a reminder, ms: {each:.2f}")
    print(f"reminders: {len(late)}, late by s: median {statistics.median(late):.1f}, last {late[-1]:.1f}")


def main() -> None:
    """Read the command, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=10)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
