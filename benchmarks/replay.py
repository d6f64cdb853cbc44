"""How fast a policy is tried on the past: rows a second, and the memory that it takes, by the shipped policy.

python benchmarks/replay.py [CALLS]
"""

import asyncio
import os
import resource
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from how_many import how_many
from past_cases import write_past

from atlas.assessors.policy import Policy
from atlas.database.location import Location
from atlas.replay.run import replay
from atlas.replay.span import Span
from atlas.replay.workers import cores
from atlas.settings import Settings

SPAN = Span(
    since=datetime(2000, 1, 1, tzinfo=timezone.utc),
    until=datetime(2100, 1, 1, tzinfo=timezone.utc),
    budget=timedelta(hours=1),
)
WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
WITH_CONDITIONS = """unknown_tools = "general"
[[rule]]
name = "large payments"
tool = "send_*"
when = 'has(args.amount) && args.amount > 500'
floor = 80
[[rule]]
name = "strangers"
tool = "*"
when = 'has(args.recipient) && !args.recipient.endsWith("@example.com")'
floor = 75
[[rule]]
name = "words"
tool = "*"
when = 'has(args.text) && args.text.matches("(?i)urgent|transfer")'
floor = 70
"""


def measure(title: str, directory: Path, policy: Policy, calls: int) -> None:
    """Print one line for a worker alone, and one for a worker on each core."""
    for workers in dict.fromkeys((1, cores())):
        began, cpu = time.perf_counter(), _cpu()
        report = replay(Location(directory=directory), policy, SPAN, workers=workers)
        wall, cpu = time.perf_counter() - began, _cpu() - cpu
        assert report.calls == calls, report
        peak = max(resource.getrusage(who).ru_maxrss for who in WHO) / 1024
        print(
            f"{title:20} {workers} workers {calls / cpu:8,.0f} rows a second of CPU  {wall:6.1f} s"
            f"  CPU {cpu:6.1f} s  {peak:5.0f} MB  load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def _cpu() -> float:
    """Seconds of CPU, of this process and of workers that have ended."""
    used = [resource.getrusage(who) for who in WHO]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(calls: int) -> None:
    """Print a line for each policy."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        asyncio.run(write_past(directory, calls))
        shipped = Settings.model_fields["atlas_policy"].default
        measure("shipped policy", directory, Policy(shipped, threshold=70), calls)
        conditions = Policy(Path("conditions"), threshold=70, content=WITH_CONDITIONS.encode())
        measure("three conditions", directory, conditions, calls)
        counts = WITH_CONDITIONS.replace("has(args.text) &&", 'session.calls("send_*") > 20 &&')
        counting = Policy(Path("counts"), threshold=70, content=counts.encode())
        measure("counts of sessions", directory, counting, calls)


if __name__ == "__main__":
    main(how_many(__doc__, usual=100_000))
