"""Measures an Inngest server on loopback, by default a freshly started `python -m atlas.engine`.

    python benchmarks/engine.py [--url http://127.0.0.1:8288] [--pid PID] [--rounds 40] [--runs 500]

Server, app and driver are three processes, which share the cores of the machine. With `--pid` the memory and
the CPU time of a server that was started elsewhere are measured too; the engine measures its own. A two-step
run is three calls of the app; what the app's SDK costs is printed beside what the server costs.
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import pathlib
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import fastapi
import httpx
import inngest
import inngest.fast_api
import uvicorn
from processes import cpu_seconds, peak_memory

ROOT = pathlib.Path(__file__).parents[1]
BOUND = 120  # seconds for any one measurement
BATCH = 50  # events in a request


def build_client(options):
    """Returns an SDK client of the server."""
    return inngest.Inngest(
        app_id=options.app,
        is_production=bool(options.signing_key),
        event_key=options.event_key,
        signing_key=options.signing_key,
        api_base_url=options.url,
        event_api_base_url=options.url,
    )


def note(*words):
    """Tells the driver what happened, and when: all processes read the same clock."""
    print(*words, time.monotonic(), flush=True)


def build_app(client, prefix):
    """Returns the app, with a function that waits and one of two steps."""

    @client.create_function(fn_id="gate", trigger=inngest.TriggerEvent(event=f"{prefix}/gate"), retries=0)
    async def gate(ctx):
        key = ctx.event.data["key"]

        async def before():
            note("called", key)

        await ctx.step.run("before", before)
        note("waits", key)
        await ctx.step.wait_for_event(
            "wait",
            event=f"{prefix}/decided",
            if_exp="async.data.key == event.data.key",
            timeout=datetime.timedelta(hours=1),
        )
        note("resumed", key)

    @client.create_function(fn_id="two", trigger=inngest.TriggerEvent(event=f"{prefix}/two"), retries=0)
    async def two(ctx):
        async def step():
            return {"some": "result"}

        await ctx.step.run("first", step)
        await ctx.step.run("second", step)
        note("ended", ctx.event.data["key"])

    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [gate, two])
    return app


async def serve(options):
    """Serves the app until the process is ended."""
    app = build_app(build_client(options), options.app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("listening", listener.getsockname()[1], flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        await server.serve(sockets=[listener])


class AppProcess:
    """The app in a process of its own, and what it has noted."""

    def __init__(self, options):
        self.options = options
        self.noted = {}

    async def __aenter__(self):
        command = [sys.executable, __file__, "--serve", "--app", self.options.app, "--url", self.options.url]
        command += [f"--event-key={self.options.event_key}"]
        command += [f"--signing-key={self.options.signing_key}"] if self.options.signing_key else []
        self.process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        self.port = int((await asyncio.wait_for(self.process.stdout.readline(), 40)).split()[1])
        self.reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error):
        self.reading.cancel()
        self.process.kill()
        await self.process.wait()

    async def _read(self):
        while line := await self.process.stdout.readline():
            word, key, moment = line.split()
            self.noted.setdefault((word.decode(), int(key)), float(moment))

    async def sync(self):
        """Has the app register with the server."""
        async with httpx.AsyncClient() as http:
            answer = await http.put(f"http://127.0.0.1:{self.port}/api/inngest")
            assert answer.status_code == 200, answer.text

    async def when(self, word, key):
        """Waits, for a bounded time, until something was noted; returns when it was."""
        end = time.monotonic() + BOUND
        while (word, key) not in self.noted:
            assert time.monotonic() < end, f"waited in vain for {word} {key}"
            await asyncio.sleep(0.001)
        return self.noted[word, key]

    def count(self, word):
        """Tells how many were noted."""
        return sum(noted == word for noted, _ in self.noted)


class Driver:
    """Sends events to the server and measures what comes of them."""

    def __init__(self, options, app):
        self.options, self.app = options, app
        self.client = build_client(options)

    async def send(self, name, *keys):
        """Sends an event for each key, in one request; returns when that was begun."""
        events = [inngest.Event(name=f"{self.options.app}/{name}", data={"key": key}) for key in keys]
        begun = time.monotonic()
        await self.client.send(events)
        return begun

    async def measure(self, pid):
        """Returns the measurements as a dictionary of milliseconds, runs per second and MB."""
        await self.rounds(3, first=-3)  # until everything is warm
        started, resumed = await self.rounds(self.options.rounds)
        before = cpu_seconds(pid) if pid else 0.0, cpu_seconds(self.app.process.pid)
        rate = await self.throughput(self.options.runs)
        after = cpu_seconds(pid) if pid else 0.0, cpu_seconds(self.app.process.pid)
        server, app = ((b - a) * 1000 / self.options.runs for a, b in zip(before, after, strict=True))
        return {
            "event to first call, ms": quantiles(started),
            "decision to resumed run, ms": quantiles(resumed),
            "two-step runs/s": round(rate, 1),
            "CPU of the server, ms a run": round(server, 2) if pid else None,
            "CPU of the app, ms a run": round(app, 2),
            "peak RSS of the server, MB": peak_memory(pid) if pid else None,
        }

    async def rounds(self, count, *, first=0):
        """Returns the milliseconds to the first call and to the resumption of runs, one after the other."""
        started, resumed = [], []
        for key in range(first, first + count):
            begun = await self.send("gate", key)
            started.append((await self.app.when("called", key) - begun) * 1000)
            await self.app.when("waits", key)
            await asyncio.sleep(0.3)  # no server tells when a wait is in force
            begun = await self.send("decided", key)
            resumed.append((await self.app.when("resumed", key) - begun) * 1000)
        return started, resumed

    async def throughput(self, runs):
        """Returns the two-step runs a second."""
        begun = time.monotonic()
        for first in range(0, runs, BATCH):
            await self.send("two", *range(first, min(first + BATCH, runs)))
        while self.app.count("ended") < runs:
            assert time.monotonic() < begun + BOUND, "waited in vain"
            await asyncio.sleep(0.02)
        last = max(moment for (word, _), moment in self.app.noted.items() if word == "ended")
        return runs / (last - begun)


def quantiles(values):
    """Returns the median and the 95th percentile."""
    ordered = sorted(values)
    return {"p50": round(statistics.median(ordered), 1), "p95": round(ordered[int(len(ordered) * 0.95)], 1)}


@contextlib.contextmanager
def started_engine(options):
    """Starts an engine of its own on a free port; yields its URL and process id."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "atlas.engine", "--port", "0", "--data-dir", directory]
        command += [f"--event-key={options.event_key}", f"--signing-key={options.signing_key}"]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.terminate()
            process.wait(10)


async def run(options, pid):
    """Starts the app, syncs it and measures."""
    async with AppProcess(options) as app:
        await app.sync()
        print(json.dumps(await Driver(options, app).measure(pid), indent=2))


def main():
    """Parses the command line and measures one server."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--event-key", default=secrets.token_hex(16))
    parser.add_argument("--signing-key")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--app", default=f"bench-{secrets.token_hex(4)}", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options))
        return
    with contextlib.ExitStack() as stack:
        if options.url is None:
            options.signing_key = options.signing_key or secrets.token_hex(32)
            options.url, options.pid = stack.enter_context(started_engine(options))
        asyncio.run(run(options, options.pid))


if __name__ == "__main__":
    main()
