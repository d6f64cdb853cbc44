"""What a start of the gateway costs: CPU until /readyz answers, beside importing FastMCP, and idle memory.

    python benchmarks/start.py [--rounds 10]

Each is measured in turn, so that a noisy machine is noisy for all: `from fastmcp import FastMCP`, which a
server built with FastMCP pays; `import fastmcp`, which defers nearly all of that; the gateway with default
settings and no data directory yet; and the gateway with the directory of the start before. Printed are the
medians of user and system time, the ratios (the median of those in each turn, with quartiles), and what the
gateway holds in memory once it is ready.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from processes import ROOT, cpu_seconds, resident_memory

START_SECONDS = 60.0
IMPORT = "from fastmcp import FastMCP"
LITERAL = "import fastmcp"
Figures = dict[str, list[float]]
FRESH, KEPT = "gateway, fresh directory", "gateway, kept directory"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    report(*measured(parser.parse_args().rounds))


def measured(rounds: int) -> tuple[Figures, Figures]:
    """Seconds of CPU and megabytes of memory, of each in each turn."""
    times: Figures = {LITERAL: [], IMPORT: [], FRESH: [], KEPT: []}
    memory: Figures = {FRESH: [], KEPT: []}
    take_turn(times, memory)  # not counted: what is compiled and cached now is there in the turns that count
    for values in (*times.values(), *memory.values()):
        values.clear()
    for _ in range(rounds):
        take_turn(times, memory)
    return times, memory


def take_turn(times: Figures, memory: Figures) -> None:
    """Measure each once."""
    for statement in (LITERAL, IMPORT):
        times[statement].append(import_seconds(statement))
    with tempfile.TemporaryDirectory() as directory:
        for name in (FRESH, KEPT):
            seconds, megabytes = start_gateway(Path(directory))
            times[name].append(seconds)
            memory[name].append(megabytes)


def import_seconds(statement: str) -> float:
    """CPU seconds of a Python process that runs a statement."""
    process = subprocess.Popen([sys.executable, "-c", statement], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, statement
    return usage.ru_utime + usage.ru_stime


def start_gateway(directory: Path) -> tuple[float, float]:
    """CPU seconds until a gateway was ready, and the megabytes that it holds then."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": str(ROOT),
        "ATLAS_PORT": "0",
        "ATLAS_DATA_DIR": str(directory / "data"),
    }
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "gateway.py")],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = printed_url(process)
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(url):
            assert process.poll() is None and time.monotonic() < deadline, "the gateway is not ready"
            time.sleep(0.02)
        return cpu_seconds(process.pid), resident_memory(process.pid)
    finally:
        process.kill()
        process.communicate()


def printed_url(process: "subprocess.Popen[str]") -> str:
    """Where a gateway says that it listens."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"MCP +(http://\S+)/mcp/sse", line):
            return found[1]
    raise AssertionError("the gateway ended before it listened")


def is_ready(url: str) -> bool:
    """Whether /readyz answers that all parts work."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:  # noqa: S310  (our own)
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def report(times: Figures, memory: Figures) -> None:
    """Print a row for each, and the ratios."""
    for name, values in times.items():
        resident = f"{statistics.median(memory[name]):8.1f} MB" if name in memory else ""
        print(f"{name:30}{statistics.median(values):8.2f} s CPU{resident}")
    for name in memory:
        for reference in (IMPORT, LITERAL):
            ratios = [ours / alone for ours, alone in zip(times[name], times[reference], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"{name} / {reference}: {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
