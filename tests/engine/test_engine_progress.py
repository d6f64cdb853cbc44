"""What is due is begun, what fails comes to an end, and what goes wrong in the background is told.

The longest nap is an hour in most of these tests: a wake-up that is missed leaves a test to its bounded wait.
"""

import asyncio

import httpx
import inngest
import pytest
from raw_app import RawApp

from atlas.engine import Engine, executor
from atlas.engine.executor import Executor


@pytest.fixture
def long_naps(monkeypatch):
    """Nothing but a wake-up has the engine look for work."""
    monkeypatch.setattr(executor, "_LONGEST_NAP", 3600.0)


async def send_many(lab, count):
    """Sends many events at once, which are kept by one commit."""
    await lab.app.client.send([inngest.Event(name=lab.event("go"), data={"n": n}) for n in range(count)])


async def test_all_calls_that_are_due_at_once_are_begun(dev_lab, long_naps, until):
    """Right: each of 200 calls begins before any has ended. Wrong: 64 begin, the others wait for a nap."""
    gate = asyncio.Event()

    @dev_lab.function()
    async def run(ctx):
        dev_lab.log.append(ctx.event.data["n"])
        await gate.wait()

    async with dev_lab.running():
        await send_many(dev_lab, 200)
        await until(lambda: len(dev_lab.log) == 200, seconds=20)
        gate.set()
        await dev_lab.until_ended(200)
    assert sorted(dev_lab.log) == list(range(200))


async def test_calls_that_wait_for_a_full_lane_are_not_looked_at_again_and_again(
    dev_lab, long_naps, until, monkeypatch
):
    """Right: one call of 200 runs, and the engine sleeps. Wrong: it looks for work without an end."""
    gate, looks, look = asyncio.Event(), [], Executor._look

    async def counted(self):
        looks.append(1)
        return await look(self)

    monkeypatch.setattr(Executor, "_look", counted)

    @dev_lab.function(concurrency=[inngest.Concurrency(limit=1)])
    async def run(ctx):
        dev_lab.log.append(ctx.event.data["n"])
        await gate.wait()

    async with dev_lab.running():
        await send_many(dev_lab, 200)
        await until(lambda: dev_lab.log, seconds=20)
        await dev_lab.engine.store.write(lambda connection: None)
        await rounds(100)
        before = len(looks)
        await rounds(100)
        assert (len(looks), len(dev_lab.log)) == (before, 1)
        gate.set()
        await dev_lab.until_ended(200)


async def rounds(count):
    """Lets the loop go round so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_call_begins_when_the_only_place_becomes_free(dev_lab, long_naps, until, monkeypatch):
    """Right: the second call takes the place of the first. Wrong: the first still counts when it wakes."""
    monkeypatch.setattr(executor, "_MOST_CALLS", 1)

    @dev_lab.function()
    async def run(ctx):
        dev_lab.log.append(ctx.event.data["n"])

    async with dev_lab.running():
        await send_many(dev_lab, 2)
        await until(lambda: len(dev_lab.log) == 2, seconds=20)


class Unspeakable(Exception):
    """What can't even be told."""

    def __str__(self):
        raise KeyError("unforeseen")


class Odd(httpx.AsyncBaseTransport):
    """Raises what no one foresees, as an app in the same process could."""

    def __init__(self):
        self.calls = 0

    async def handle_async_request(self, request):
        self.calls += 1
        raise Unspeakable


async def test_a_call_that_fails_in_the_engine_itself_is_an_attempt(tmp_path, until):
    """Right: the run fails after its one attempt. Wrong: the call is repeated each second, without an end."""
    transport = Odd()
    async with (
        Engine(tmp_path / "engine.db", keys=None, transport=transport) as engine,
        client(engine) as http,
    ):
        raw = await registered(engine, retries=0)
        await http.post("/e/any", json={"name": raw.event("go")})
        await until(lambda: rows(engine, "SELECT 1 FROM runs WHERE status = 'FAILED'"), seconds=20)
        [(output,)] = rows(engine, "SELECT output FROM runs")
    assert "The engine could not carry out the call: KeyError" in output
    assert transport.calls == 1


def client(engine):
    """A client of the engine's API."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=engine.app), base_url="http://engine.test")


def rows(engine, statement):
    return engine.store.reader.execute(statement).fetchall()


async def registered(engine, *, names=("run",), **options):
    """An app without an SDK, whose functions the engine knows; the event `go` starts the first one."""
    raw = RawApp("http://engine.test", None)
    first, *others = (raw.configuration("http://app.test", name=name, **options) for name in names)
    others = [{**other, "triggers": [{"event": raw.event("never")}]} for other in others]
    await engine.register({"appname": raw.name, "functions": [first, *others]})
    return raw
