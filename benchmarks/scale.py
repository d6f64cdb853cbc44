"""What very many calls in PostgreSQL cost: a gateway with a million beside one with few.

    python benchmarks/scale.py [--ended 1000000] [--waiting 100000] [--rounds 40] [--few 1000]

Each gateway has a database of its own on one server. A few calls were brought to their ends and to their wait
by the gateway; the server copies them (tests/support/many_cases.py). The gateways are measured in turns:

- a start until /readyz says ready, with the CPU time of the gateway;
- a call that its score approves;
- a call to PENDING REVIEW, and its approval until the outcome is at the agent that waits;
- the desk: the inbox in each order, the history, and one case.

Printed are p50 and p95 in milliseconds of each, and how many times as long the one with very many took: the
median of that in every turn, with quartiles.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastmcp import Client
from governed_call import ratio
from percentiles import p95

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from gateway_process import GatewayProcess, call, eventually, outcome, reference_in, text_of  # noqa: E402
from many_cases import FOR_A_PERSON, arguments, fill  # noqa: E402
from processes import cpu_seconds  # noqa: E402

from tests.support.postgres import PostgresServer, postgres_server  # noqa: E402

PAGES = {
    "inbox, newest": "/desk?order=newest",
    "inbox, riskiest": "/desk?order=riskiest",
    "inbox, nearest end": "/desk?order=nearest_end",
    "history": "/desk/history",
    "history of a tool": "/desk/history?tool=check_status",
}
Times = dict[str, list[float]]


class Office:
    """A gateway, its database, and what it took in each turn."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        self.name = name
        open_desk = {"ATLAS_AGENT_KEY": "", "ATLAS_REVIEWER_KEY": ""}
        self.gateway = GatewayProcess(folder, ATLAS_DATABASE_URL=url, **open_desk)
        self.times: Times = {}
        self.number = 1000

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The gateway, ready."""
        await self.gateway.start()
        try:
            async with httpx.AsyncClient(base_url=self.gateway.url, timeout=60) as http:

                async def is_ready() -> bool:
                    return (await http.get("/readyz")).is_success

                await eventually(is_ready)
            yield
        finally:
            await self.gateway.stop()

    async def start(self) -> None:
        """One start."""
        began = time.perf_counter()
        async with self.running():
            self.note("start", began)
            self.times.setdefault("start, CPU", []).append(1000 * cpu_seconds(self.gateway.process_id))

    def note(self, what: str, began: float) -> None:
        """It took until now."""
        self.times.setdefault(what, []).append(1000 * (time.perf_counter() - began))

    async def timed(self, what: str, done: Awaitable[Any]) -> Any:
        """Do it, and note how long it took."""
        began = time.perf_counter()
        result = await done
        self.note(what, began)
        return result

    async def turn(self, agent: Client[Any], http: httpx.AsyncClient) -> None:
        """Everything once."""
        self.number += 1
        approved = call(agent, "check_status", beneficiary_id="BEN-123")
        assert not (await self.timed("call that the score approves", approved)).is_error
        held = await self.timed("call to PENDING REVIEW", call(agent, FOR_A_PERSON, **arguments(self.number)))
        await self.timed("approval to outcome", self._approved(agent, reference_in(held)))
        for what, path in PAGES.items():
            page = await self.timed(what, http.get(path))
            assert page.is_success, page.text
        page = await self.timed("one case", http.get(f"/desk/cases/{reference_in(held)}"))
        assert page.is_success, page.text

    async def _approved(self, agent: Client[Any], case_id: str) -> None:
        waits = asyncio.create_task(outcome(agent, case_id))
        answer = await self.gateway.decide(case_id, key=None)
        assert answer.is_success, answer.text
        assert "EXECUTED" in text_of(await waits)


async def in_turns(few: Office, many: Office, rounds: int, take: Callable[[Office], Awaitable[None]]) -> None:
    """One after the other, each first as often as second."""
    for number in range(rounds):
        for office in (few, many) if number % 2 else (many, few):
            await take(office)


async def measure(few: Office, many: Office, rounds: int) -> None:
    """Take the turns; the first is not counted."""
    await in_turns(few, many, max(4, rounds // 5), Office.start)
    async with AsyncExitStack() as stack:
        ends = {}
        for office in (few, many):
            await stack.enter_async_context(office.running())
            agent = await stack.enter_async_context(office.gateway.agent(key=None))
            http = httpx.AsyncClient(base_url=office.gateway.url, timeout=60)
            ends[office.name] = (agent, await stack.enter_async_context(http))
            kept, office.times = office.times, {}
            await office.turn(*ends[office.name])
            office.times = kept
        await in_turns(few, many, rounds, lambda office: office.turn(*ends[office.name]))


def told(values: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{statistics.median(values):8.1f} {p95(values):8.1f}"


async def measured(options: argparse.Namespace, server: PostgresServer, folder: Path) -> tuple[Times, Times]:
    """Fill, and measure; what each step took with few calls, and with many."""
    offices = []
    for name, ended, waiting in (
        ("few", options.few, options.few),
        ("many", options.ended, options.waiting),
    ):
        (folder / name).mkdir()
        url = server.new_database(name)
        offices.append(Office(name, url, folder / name))
        await fill(offices[-1].gateway, ended=ended, waiting=waiting, apart="-25 seconds")
        print(f"{name}: about {ended} calls ended, and {waiting} wait", flush=True)
    few, many = offices
    await measure(few, many, options.rounds)
    return few.times, many.times


def report(few: Times, many: Times) -> None:
    """Print a line for each step."""
    print("milliseconds, p50 and p95: with few, with many, and many / few")
    for what, before in few.items():
        print(f"{what:30} {told(before)} {told(many[what])}  {ratio(many[what], before)}")


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What to measure; None: as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ended", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=40)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> tuple[Times, Times]:
    """Measure on a server and in files that go at the end."""
    with postgres_server() as server, tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(options, server, Path(folder)))


if __name__ == "__main__":
    report(*run(options_of()))
