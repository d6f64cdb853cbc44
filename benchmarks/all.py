"""Each aim of the gateway's speed beside what this machine gives, in one run of about ten minutes.

    python benchmarks/all.py [--ended 1000000] [--waiting 100000] [--without-many] [--least]

The other programs of this folder measure, with fewer turns than when they run alone. This one prints a table
in Markdown, which docs/explanation/performance.md has. A ratio is the median over all turns, with quartiles.
The machine should have nothing else to do. The last lines need PostgreSQL (Debian's package `postgresql`);
`--without-many` leaves them out. With `--least` there are as few turns as can be, to see that it all runs.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import approval
import governed_call
import policy
import scale
import start
import upstream_call
from percentiles import p95


class Line(NamedTuple):
    """One line of the table."""

    work: str
    aim: str
    found: str
    is_reached: bool


def times(work: str, aim: float, longer: Sequence[float], shorter: Sequence[float]) -> Line:
    """At most so many times as long."""
    _, middle, _ = governed_call.quartiles(longer, shorter)
    return Line(work, f"{aim:g} times", f"{governed_call.ratio(longer, shorter)} times", middle <= aim)


def at_most(work: str, aim: float, found: float, unit: str) -> Line:
    """At most so much."""
    return Line(work, f"{aim:g} {unit}", f"{found:.3g} {unit}", found <= aim)


def governed(turns: int) -> Iterator[Line]:
    """A call that its score approves, beside the same tool bare."""
    options = governed_call.options_of(["--calls", str(20 * turns), "--rounds", str(turns)])
    _, bare, gateway = asyncio.run(governed_call.measured(options))
    yield times("governed call / the same tool bare, p50", 2.4, gateway.turns, bare.turns)
    yield times("governed call / the same tool bare, CPU", 2.4, gateway.cpu, bare.cpu)
    rate = statistics.median(gateway.rates)
    yield Line("calls a second at concurrency 16, one process", "80", f"{rate:.0f}", rate >= 80)


def upstream(turns: int) -> Iterator[Line]:
    """A call to an HTTP upstream, beside FastMCP's proxies."""
    options = upstream_call.options_of(["--calls", str(10 * turns), "--rounds", str(turns)])
    _, proxy, plain, _, gateway = asyncio.run(upstream_call.measured(options))
    yield times("governed upstream call / proxy without its defaults", 0.9, gateway.turns, plain.turns)
    yield times("governed upstream call / proxy as it comes", 0.9, gateway.turns, proxy.turns)


def person(turns: int) -> Iterator[Line]:
    """A call on which a person decides."""
    figures = asyncio.run(approval.measured(3 * turns))
    for way, values in (("webhook", figures.webhook), ("desk", figures.desk)):
        what = f"approval at the {way} to the outcome at the agent"
        yield at_most(f"{what}, p50", 40, statistics.median(values), "ms")
        yield at_most(f"{what}, p95", 60, p95(values), "ms")
    what = "call to PENDING REVIEW without grace / bare call, p50"
    yield times(what, 1.5, figures.pending, figures.bare)


def rules(turns: int) -> Iterator[Line]:
    """A policy with a condition of CEL."""
    taken, _ = asyncio.run(policy.measured("as shipped", "one condition", 100 * turns))
    yield at_most("ruling with a condition in CEL, p50", 0.3, statistics.median(taken), "ms")


def begin(turns: int) -> Iterator[Line]:
    """A start, and what is held in memory after it."""
    seconds, memory = start.measured(max(2, turns // 4))
    what = "start to /readyz / from fastmcp import FastMCP, CPU"
    yield times(what, 1.5, seconds[start.KEPT], seconds[start.IMPORT])
    yield at_most("memory of an idle gateway", 115, statistics.median(memory[start.KEPT]), "MB")


def many(ended: int, waiting: int, turns: int) -> Iterator[Line]:
    """Very many calls in PostgreSQL, beside a thousand."""
    kept = ("--ended", str(ended), "--waiting", str(waiting))
    options = scale.options_of([*kept, "--rounds", str(max(2, turns // 2))])
    few, more = scale.run(options)
    for what, before in few.items():
        if what != "start":  # its time is that of a machine that does something else; its CPU counts
            yield times(f"{waiting:,} waiting, {ended:,} ended / 1,000: {what}", 1.25, more[what], before)


def main() -> None:
    """Measure, and print the table line by line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ended", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--without-many", action="store_true")
    parser.add_argument("--least", action="store_true")
    options = parser.parse_args()
    turns = 2 if options.least else 32
    parts = [part(turns) for part in (rules, person, governed, upstream, begin)]
    if not options.without_many:
        parts.append(many(options.ended, options.waiting, turns))
    begun = time.monotonic()
    print("| work | aim | found | |\n|---|---|---|---|")
    for part in parts:
        for line in part:
            print(f"| {line.work} | {line.aim} | {line.found} | {'reached' if line.is_reached else 'no'} |")
            sys.stdout.flush()
    print(f"\nIt took {time.monotonic() - begun:.0f} s.", file=sys.stderr)


if __name__ == "__main__":
    main()
