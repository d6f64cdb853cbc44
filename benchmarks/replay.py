"""How fast a policy is tried on the past: rows a second, and the memory that it takes, by the shipped policy.

python benchmarks/replay.py [CALLS]
"""

import asyncio
import json
import resource
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from past_cases import write_past

from atlas.assessors.policy import Policy
from atlas.replay.run import replay
from atlas.replay.span import Span
from atlas.settings import Settings

SPAN = Span(
    since=datetime(2000, 1, 1, tzinfo=timezone.utc),
    until=datetime(2100, 1, 1, tzinfo=timezone.utc),
    budget=timedelta(hours=1),
)
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
    """Print one line."""
    began, cpu = time.perf_counter(), time.process_time()
    report = replay(directory, policy, SPAN)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert report.calls == calls, report
    print(
        f"{title:20} {calls / cpu:8,.0f} rows a second of CPU  {wall:6.1f} s  CPU {cpu:6.1f} s"
        f"  {peak:5.0f} MB"
    )


def main(calls: int) -> None:
    """Print a line for each policy."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        asyncio.run(write_past(directory, calls))
        shipped = Settings.model_fields["atlas_policy"].default
        measure("shipped policy", directory, Policy(shipped, threshold=70), calls)
        conditions = Policy(Path("conditions"), threshold=70, content=WITH_CONDITIONS.encode())
        measure("three conditions", directory, conditions, calls)
        session = WITH_CONDITIONS.replace("has(args.text) &&", "session.read_outside &&")
        if "session" in json.dumps(sys.argv):
            measure(
                "with session", directory, Policy(Path("s"), threshold=70, content=session.encode()), calls
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
