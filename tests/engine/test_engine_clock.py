"""A clock that jumps makes timers late by the jump at most, never early, and nothing else."""

import asyncio
import itertools
import subprocess
import sys
import time

import httpx
import pytest
from shifted_clock import set_clock

from atlas.engine import executor
from atlas.engine.history import forget_until
from atlas.engine.times import DAY


@pytest.fixture
def shifted(start_server, monkeypatch, tmp_path):
    """An engine process whose clock the test sets with the path that comes with it."""
    clock = tmp_path / "clock"
    set_clock(clock)
    monkeypatch.setenv("ATLAS_TEST_CLOCK", str(clock))
    monkeypatch.setenv("PYTHONPATH", ".")
    start = subprocess.Popen

    def start_shifted(command, **options):
        return start([sys.executable, "tests/support/shifted_clock.py", *command[3:]], **options)

    monkeypatch.setattr(subprocess, "Popen", start_shifted)
    return start_server(), clock


async def test_a_clock_that_is_set_back_an_hour_delays_only_what_sleeps(shifted, make_app, served, until):
    """Events run at once, over a restart too; a sleep ends when the clock has come to its end, and once."""
    server, clock = shifted
    app = make_app(base_url=server.url, keys=None)

    @app.function("two", trigger="two")
    async def two(ctx):
        n = await ctx.step.run("first", lambda: ctx.event.data["n"])
        await ctx.step.run("second", app.step(("two", n)))

    @app.function("sleeper", trigger="sleep")
    async def sleeper(ctx):
        await ctx.step.sleep("nap", 1000)
        app.log.append("slept")

    async with served(app.serve()) as url, httpx.AsyncClient(timeout=60) as http:
        assert (await http.put(f"{url}/api/inngest")).status_code == 200
        ids = [await app.send("sleep")]
        await until(lambda: app.calls)
        set_clock(clock, hours=-1)
        earlier = int(time.time() * 1000) - 2 * 3_600_000
        for n in range(4):
            # As a sender with the same clock would: an event from the future waits for its time.
            ids.append(await app.send("two", {"n": n}, ts=earlier))
            await until(lambda n=n: ("two", n) in app.log)
            if n == 1:
                server.kill()
                server.start()
        await asyncio.sleep(1.1)  # longer than the nap: it must not have ended by the clock that is back
        assert "slept" not in app.log
        set_clock(clock)
        ids.append(await app.send("two", {"n": 4}, ts=earlier))
        await app.until_logged("slept")
        await until(lambda: ("two", 4) in app.log)
    assert app.log.count("slept") == 1
    assert {("two", n) for n in range(5)} == set(app.log) - {"slept"}
    assert len(set(ids)) == len(ids)


def test_a_clock_that_is_ahead_for_a_moment_makes_the_engine_forget_nothing():
    """What is forgotten goes by the time the engine has run, and by the clock only where that is behind."""
    began, hour = 1_000 * DAY, DAY // 24
    assert forget_until(began, clock=began + 40 * DAY, elapsed=hour) == began + 2 * hour
    assert forget_until(began, clock=began + hour, elapsed=hour) == began + hour
    assert forget_until(began, clock=began - hour, elapsed=hour) == began - hour


async def test_a_retry_that_falls_due_during_a_look_for_work_is_made(dev_lab, monkeypatch):
    """Right: a look has one moment. Wrong: it overlooks what falls due between its first and its second one.

    The clock goes on by two seconds with every second look at it; the retry is due after one.
    """
    ticks = itertools.cycle((0, 2000))
    monkeypatch.setattr(executor, "now", lambda: int(time.time() * 1000) + next(ticks))
    monkeypatch.setattr(executor, "_LONGEST_NAP", 3600.0)

    @dev_lab.function(retries=1)
    async def run(ctx):
        dev_lab.log.append(ctx.attempt)
        if ctx.attempt == 0:
            raise ValueError("not yet")

    async with dev_lab.running():
        await dev_lab.send()
        await dev_lab.until_ended()
        assert (dev_lab.statuses(), dev_lab.log) == (["COMPLETED"], [0, 1])
