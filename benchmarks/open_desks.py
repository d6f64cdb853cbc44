"""What open desks cost an agent's call: governed calls with no desk open and with many, in turns, in one run.

    python benchmarks/open_desks.py [--desks 50] [--rounds 10] [--calls 30] [--waiting 6]

The desks are streams of five reviewers in a process of its own. It asks for the lines of new calls as pages
do. Each round makes calls that the score approves, and calls that wait for a person. Printed are p50 and
p95 in milliseconds, and the CPU time of the gateway per call with all that the desks ask for; then how many
times as much it is with the desks open: the median of that in every round, and its quartiles.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from fastmcp import Client
from governed_call import ratio
from percentiles import p95

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from gateway_process import AGENT_KEY, GatewayProcess  # noqa: E402
from processes import cpu_seconds  # noqa: E402

REVIEWERS = {f"reviewer-{number}": f"key-of-reviewer-number-{number}" for number in range(5)}
SETTLE_SECONDS = 3.0  # after which all pages have asked for the lines of what came last
NUMBERS = itertools.count(1)


async def desk(url: str, key: str, is_ready: asyncio.Event) -> None:
    """A page with a stream: it asks for the lines of what waits within a second, and counts again."""
    headers = {"Authorization": f"Bearer {key}", "HX-Request": "true", "Desk-Automatic": "true"}
    heard: set[str] = set()
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=600) as client,
        client.stream("GET", "/desk/live") as stream,
        anyio.create_task_group() as group,
    ):
        is_silent = asyncio.Event()  # set while it does not ask
        is_silent.set()
        async for line in stream.aiter_lines():
            is_ready.set()
            if line.startswith("data: "):
                heard.update(json.loads(line.removeprefix("data: ")).get("waits", ()))
            if heard and is_silent.is_set():
                is_silent.clear()
                group.start_soon(ask, client, heard, is_silent)


async def ask(client: httpx.AsyncClient, heard: set[str], is_silent: asyncio.Event) -> None:
    """What a page asks for when it hears of new calls; what it hears meanwhile it asks for together."""
    while heard:
        await asyncio.sleep(0.2 + random.random() * 0.8)  # noqa: S311
        waits = sorted(heard)
        heard.clear()
        (await client.get("/desk/arrivals", params={"case": waits})).raise_for_status()
    await asyncio.sleep(random.random())  # noqa: S311
    (await client.get("/desk/counts")).raise_for_status()
    is_silent.set()


async def desks(url: str, count: int) -> None:
    """Open so many, say so, and keep them until the input ends."""
    ready = [asyncio.Event() for _ in range(count)]
    keys = list(REVIEWERS.values())
    tasks = [
        asyncio.create_task(desk(url, keys[number % len(keys)], event)) for number, event in enumerate(ready)
    ]
    await asyncio.gather(*(event.wait() for event in ready))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_desks(url: str, count: int) -> AsyncIterator[None]:
    """So many desks are open in another process."""
    if count == 0:
        yield
        return
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", url, "--desks", str(count), stdin=pipe, stdout=pipe
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


@dataclass
class Figures:
    """What calls of one kind took, in milliseconds: each, and in each round the median and the CPU time."""

    times: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        """The figures, in columns."""
        p50, slow = statistics.median(self.times), p95(self.times)
        return f"{name:34}{p50:10.1f}{slow:10.1f}{statistics.median(self.cpu):14.2f}"


async def measure(
    gateway: GatewayProcess, client: Client[Any], figures: Figures, tool: str, count: int
) -> None:
    """One turn: calls one after the other, and the CPU time until all that they bring about is over."""
    used, times = cpu_seconds(gateway.process_id), []
    for _ in range(count):
        arguments: dict[str, Any] = {"beneficiary_id": "BEN-123"}
        if tool == "request_extension":
            arguments |= {"days": 30 + next(NUMBERS), "reason": "illness"}
        begun = time.perf_counter()
        await client.call_tool(tool, arguments, raise_on_error=False)
        times.append((time.perf_counter() - begun) * 1000)
    if tool == "request_extension":
        await asyncio.sleep(SETTLE_SECONDS)
    figures.cpu.append((cpu_seconds(gateway.process_id) - used) * 1000 / count)
    figures.times += times
    figures.turns.append(statistics.median(times))


async def run(options: argparse.Namespace) -> None:
    """Take turns, and print."""
    kinds = {"check_status": options.calls, "request_extension": options.waiting}
    figures = {(tool, count): Figures() for tool in kinds for count in (0, options.desks)}
    with tempfile.TemporaryDirectory() as directory:
        reviewers = ",".join(f"{name}:{key}" for name, key in REVIEWERS.items())
        gateway = GatewayProcess(Path(directory), ATLAS_REVIEWER_KEY=reviewers)
        await gateway.start()
        try:
            async with gateway.agent(AGENT_KEY) as client:
                await measure(gateway, client, Figures(), "check_status", 20)
                for _ in range(options.rounds):
                    for count in (0, options.desks):
                        async with open_desks(gateway.url, count):
                            for tool, calls in kinds.items():
                                await measure(gateway, client, figures[tool, count], tool, calls)
        finally:
            await gateway.kill()
    report(figures, kinds, options.desks)


def report(figures: dict[tuple[str, int], Figures], kinds: dict[str, int], desks: int) -> None:
    """Print a row for each, and the ratios."""
    print(f"{'':34}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms/call':>14}")
    for (tool, count), found in figures.items():
        print(found.row(f"{tool}, {count} desks open"))
    for tool in kinds:
        beside, alone = figures[tool, desks], figures[tool, 0]
        print(f"{tool}, {desks} / 0: {ratio(beside.turns, alone.turns)}, CPU {ratio(beside.cpu, alone.cpu)}")


def main() -> None:
    """Measure, or be the process of the desks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--desks", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=30, help="that the score approves, in each turn")
    parser.add_argument("--waiting", type=int, default=6, help="that wait for a person, in each turn")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    asyncio.run(desks(options.serve, options.desks) if options.serve else run(options))


if __name__ == "__main__":
    main()
