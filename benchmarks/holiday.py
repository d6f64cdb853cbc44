"""What it costs that very many runs wait for a decision, in `python -m atlas.engine`.

    python benchmarks/holiday.py [--waiting 100000] [--rounds 40] [--due 0] [--ended 0]

The waiting runs are written into the file as the engine would have left them: one run is brought to its
wait by the engine, and the others are copies of its rows with ids of their own (through the front door a
hundred thousand take some twenty minutes; tests/engine/test_engine_scale.py checks that copies are alike).
Measured are the start until the engine is ready, its memory, unrelated runs, and decisions on some of the
runs that wait; each beside the same engine with none waiting. With `--due` so many of the waits time out
within one minute, while unrelated runs go on; with `--ended` so many have ended 90 days ago, and are
forgotten while unrelated runs go on.
"""

import argparse
import asyncio
import json
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from engine import AppProcess, Driver, quantiles  # noqa: E402
from processes import cpu_seconds, peak_memory  # noqa: E402
from waiting_runs import FIRST, copy_waiting_run  # noqa: E402

from atlas.engine.schema import connect_store  # noqa: E402
from atlas.engine.times import DAY, now  # noqa: E402

DECISIONS = 100
MINUTE = 60_000
NUMBER = re.compile(r":(\d+)$")


class EngineProcess:
    """An engine that can be stopped and started again on the same port."""

    def __init__(self, directory, options):
        self.directory, self.options, self.port = directory, options, "0"

    def start(self):
        """Starts it; returns the milliseconds until it answers, and its memory then."""
        command = [sys.executable, "-m", "atlas.engine", "--port", self.port, "--data-dir", self.directory]
        command += [f"--event-key={self.options.event_key}", f"--signing-key={self.options.signing_key}"]
        begun = time.monotonic()
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.options.url = self.process.stdout.readline().split()[-1]
        self.port = NUMBER.search(self.options.url)[1]
        ready = round((time.monotonic() - begun) * 1000)
        return {"start to ready, ms": ready, "RSS when ready, MB": self.memory()}

    def memory(self):
        """Returns its largest size so far, in MB."""
        return peak_memory(self.process.pid)

    def stop(self):
        """Ends it."""
        self.process.terminate()
        self.process.wait(20)

    def store(self):
        """Returns a connection to its file, while it is stopped."""
        return connect_store(pathlib.Path(self.directory) / "engine.db")


async def run(options):
    """Measures with none waiting, then with all of them."""
    with tempfile.TemporaryDirectory() as directory:
        engine = EngineProcess(directory, options)
        report("none waiting", await measure(options, engine, decisions=0))
        if options.ended:
            await measure_forgetting(options, engine)
        copy(engine, options.waiting)
        found = await measure(options, engine, decisions=min(options.waiting, DECISIONS))
        report(f"{options.waiting} waiting", found)
        if options.due:
            report(f"{options.due} falling due in a minute", await measure_due(options, engine))


def copy(engine, count):
    """Makes copies of the run that was left waiting."""
    connection = engine.store()
    copy_waiting_run(connection, count)
    connection.close()


async def measure(options, engine, *, decisions):
    """Returns what start, unrelated runs, and decisions on so many of the runs that wait take."""
    found = engine.start()
    try:
        async with AppProcess(options) as app:
            await app.sync()
            driver = Driver(options, app)
            await driver.rounds(3, first=-3)  # until everything is warm
            started, resumed = await driver.rounds(options.rounds)
            for key in range(FIRST, FIRST + decisions):
                begun = await driver.send("decided", key)
                resumed.append((await app.when("resumed", key) - begun) * 1000)
            rate = await driver.throughput(300)
            await driver.send("gate", -4)  # which is left waiting, to be copied
            await app.when("waits", -4)
            await asyncio.sleep(0.5)
    finally:
        memory = engine.memory()
        engine.stop()
    return found | {
        "unrelated event to first call, ms": quantiles(started),
        "decision to resumed run, ms": quantiles(resumed[-decisions:]),
        "two-step runs/s": round(rate, 1),
        "peak RSS, MB": memory,
    }


async def measure_forgetting(options, engine):
    """Reports what unrelated runs take while runs that ended long ago are forgotten."""
    connection = engine.store()
    copy_waiting_run(connection, options.ended)
    ended_at = now() - 90 * DAY
    connection.execute("UPDATE events SET received_at = ?", (ended_at,))
    connection.execute(
        "UPDATE runs SET status = 'COMPLETED', output = 'null', ended_at = ? WHERE run_id IN"
        " (SELECT run_id FROM pauses WHERE CAST(match_value AS INTEGER) >= ?)",
        (ended_at, FIRST),
    )
    connection.execute("DELETE FROM pauses WHERE CAST(match_value AS INTEGER) >= ?", (FIRST,))
    connection.close()
    found = await measure(options, engine, decisions=0)
    connection = engine.store()
    left = connection.execute("SELECT count(*) FROM runs WHERE ended_at <= ?", (ended_at,)).fetchone()[0]
    connection.execute("DELETE FROM runs WHERE ended_at <= ?", (ended_at,))
    connection.close()
    report(f"forgetting {options.ended} runs, of which {left} were left", found)


async def measure_due(options, engine):
    """Returns what unrelated runs take in the minute in which waits time out, and how late those are."""
    due_at = int(time.time() * 1000) + 10_000
    connection = engine.store()
    connection.execute(
        "UPDATE pauses SET due_at = ? + CAST(match_value AS INTEGER) * 7919 % ?"
        " WHERE CAST(match_value AS INTEGER) BETWEEN ? AND ?",
        (due_at, MINUTE, FIRST + DECISIONS, FIRST + DECISIONS + options.due - 1),
    )
    connection.close()
    engine.start()
    try:
        async with AppProcess(options) as app:
            await app.sync()
            started = await _unrelated_runs(Driver(options, app), due_at)
            offset = time.time() - time.monotonic()
            late = [
                (moment + offset) * 1000 - due_at - key * 7919 % MINUTE
                for (word, key), moment in app.noted.items()
                if word == "resumed" and key >= FIRST
            ]
            used = cpu_seconds(engine.process.pid), cpu_seconds(app.process.pid)
    finally:
        memory = engine.memory()
        engine.stop()
    return {
        "CPU of engine and app, s": used,
        "unrelated event to first call, ms": quantiles(started) | {"most": round(max(started), 1)},
        "unrelated runs": len(started),
        "timed out by then": len(late),
        "how late, ms": quantiles(late),
        "peak RSS, MB": memory,
    }


async def _unrelated_runs(driver, due_at):
    await asyncio.sleep(max(0.0, due_at / 1000 - time.time()))
    started, key = [], 10_000
    while time.time() < due_at / 1000 + 60:
        key += 1
        begun = await driver.send("gate", key)
        started.append((await driver.app.when("called", key) - begun) * 1000)
        await asyncio.sleep(0.1)
    return started


def report(title, found):
    """Prints what was found."""
    print(json.dumps({title: found}, indent=2), flush=True)


def main():
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--due", type=int, default=0, help="of those that wait")
    parser.add_argument("--ended", type=int, default=0, help="runs that are forgotten meanwhile")
    options = parser.parse_args()
    options.app, options.event_key = "holiday", secrets.token_hex(16)
    options.signing_key = secrets.token_hex(32)
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
