"""Measures an Inngest server on loopback, by default a freshly started `python -m atlas.engine`.

The app, the driver and the server share the cores of the machine.
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import pathlib
import re
import secrets
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

ROOT = pathlib.Path(__file__).parents[1]
BOUND = 120  # seconds for any one measurement


class Bench:
    """An app whose functions note when they were called."""

    def __init__(self, url, event_key, signing_key):
        self.called, self.waiting, self.resumed, self.ended = {}, set(), {}, set()
        self.client = inngest.Inngest(
            app_id=f"bench-{secrets.token_hex(4)}",
            is_production=bool(signing_key),
            event_key=event_key,
            signing_key=signing_key,
            api_base_url=url,
            event_api_base_url=url,
        )
        self.prefix = self.client.app_id

    def serve(self):
        """Returns the app, with a function that waits and one of two steps."""

        @self.client.create_function(
            fn_id="gate", trigger=inngest.TriggerEvent(event=f"{self.prefix}/gate"), retries=0
        )
        async def gate(ctx):
            key = ctx.event.data["key"]
            self.called.setdefault(key, time.perf_counter())

            async def note():
                self.waiting.add(key)

            await ctx.step.run("before", note)
            await ctx.step.wait_for_event(
                "wait",
                event=f"{self.prefix}/decided",
                if_exp="async.data.key == event.data.key",
                timeout=datetime.timedelta(hours=1),
            )
            self.resumed.setdefault(key, time.perf_counter())

        @self.client.create_function(
            fn_id="two", trigger=inngest.TriggerEvent(event=f"{self.prefix}/two"), retries=0
        )
        async def two(ctx):
            async def step():
                return {"some": "result"}

            await ctx.step.run("first", step)
            await ctx.step.run("second", step)
            self.ended.add(ctx.event.data["key"])

        app = fastapi.FastAPI()
        inngest.fast_api.serve(app, self.client, [gate, two])
        return app

    async def send(self, name, *keys):
        """Sends an event for each key, in one request."""
        events = [inngest.Event(name=f"{self.prefix}/{name}", data={"key": key}) for key in keys]
        await self.client.send(events)


async def until(condition):
    """Waits, for a bounded time, until the condition holds."""
    end = time.perf_counter() + BOUND
    while not condition():
        assert time.perf_counter() < end, "waited in vain"
        await asyncio.sleep(0.001)


async def measure(bench, url, pid, *, rounds, runs):
    """Returns the measurements as a dictionary of milliseconds, runs per second and MB."""
    started, resumed = [], []
    for n in range(rounds):
        sent = time.perf_counter()
        await bench.send("gate", n)
        await until(lambda n=n: n in bench.called)
        started.append((bench.called[n] - sent) * 1000)
        await until(lambda n=n: n in bench.waiting)
        await asyncio.sleep(0.15)
        sent = time.perf_counter()
        await bench.send("decided", n)
        await until(lambda n=n: n in bench.resumed)
        resumed.append((bench.resumed[n] - sent) * 1000)
    sent = time.perf_counter()
    for first in range(0, runs, 50):
        await bench.send("two", *range(first, min(first + 50, runs)))
    await until(lambda: len(bench.ended) == runs)
    return {
        "event to first call, ms": _quantiles(started),
        "decision to resumed run, ms": _quantiles(resumed),
        "two-step runs/s": round(runs / (time.perf_counter() - sent), 1),
        "server RSS, MB": _rss(pid),
    }


def _quantiles(values):
    ordered = sorted(values)
    return {"p50": round(statistics.median(ordered), 1), "p95": round(ordered[int(len(ordered) * 0.95)], 1)}


def _rss(pid):
    if pid is None:
        return None
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return round(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, 1)


@contextlib.contextmanager
def started_engine(event_key, signing_key):
    """Starts an engine of its own on a free port; yields its URL and process id."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "atlas.engine", "--port", "0", "--data-dir", directory]
        command += ["--event-key", event_key, "--signing-key", signing_key]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.terminate()
            process.wait(10)


async def run(url, pid, event_key, signing_key, arguments):
    """Serves the app, syncs it and measures."""
    bench = Bench(url, event_key, signing_key)
    config = uvicorn.Config(bench.serve(), port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient() as http:
        (await http.put(f"http://127.0.0.1:{port}/api/inngest")).raise_for_status()
    results = await measure(bench, url, pid, rounds=arguments.rounds, runs=arguments.runs)
    print(json.dumps(results, indent=2))
    server.should_exit = True
    await task


def main():
    """Parses the command line and measures one server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--event-key", default=secrets.token_hex(16))
    parser.add_argument("--signing-key")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--runs", type=int, default=500)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url, pid, signing_key = arguments.url, None, arguments.signing_key
        if url is None:
            signing_key = signing_key or secrets.token_hex(32)
            url, pid = stack.enter_context(started_engine(arguments.event_key, signing_key))
        asyncio.run(run(url, pid, arguments.event_key, signing_key, arguments))


if __name__ == "__main__":
    main()
