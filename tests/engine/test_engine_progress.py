"""What is due is begun, what fails comes to an end, and what goes wrong in the background is told.

The longest nap is an hour in most of these tests: a wake-up that is missed leaves a test to its bounded wait.
"""

import asyncio
import contextlib
import datetime
import sqlite3

import httpx
import inngest
import pytest
from raw_app import RawApp, step, step_id, steps

from atlas.engine import Engine, executor, runs
from atlas.engine.calls import load_call
from atlas.engine.errors import StoreFailed
from atlas.engine.executor import Executor
from atlas.engine.history import History
from atlas.engine.schema import connect_reader, connect_store


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


async def test_a_step_after_the_one_that_ended_the_run_starts_nothing(tmp_path, until, monkeypatch):
    """Right: the run ends with one step too many, alone. Wrong: a run that no one waits for is started."""
    monkeypatch.setattr(runs, "MOST_STEPS", 1)
    raw = None
    app = httpx.ASGITransport(app=lambda *call: raw.web(*call))
    async with Engine(tmp_path / "engine.db", keys=None, transport=app) as engine, client(engine) as http:
        raw = await registered(engine, names=("run", "child"))
        invoked = {"function_id": f"{raw.name}-child", "payload": {"data": {}}}
        raw.answer = lambda call: steps(
            step("one", data=1), step("two", data=2), step("invoked", op="InvokeFunction", opts=invoked)
        )
        await http.post("/e/any", json={"name": raw.event("go")})
        await until(lambda: rows(engine, "SELECT 1 FROM runs WHERE status = 'FAILED'"), seconds=20)
        assert rows(engine, "SELECT function_id FROM runs") == [(f"{raw.name}-run",)]
        assert "TooManySteps" in rows(engine, "SELECT output FROM runs")[0][0]


async def test_a_store_that_fails_is_tried_once_in_each_pause(tmp_path, until, monkeypatch):
    """Right: changes that fail do not end the pause. Wrong: each try wakes the engine for the next one."""
    tries = []

    def fail(connection):
        tries.append(1)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(executor, "touch_store", fail)
    monkeypatch.setattr(executor, "_STORE_PAUSE", 3600.0)

    def refused(connection):
        raise sqlite3.OperationalError("database or disk is full")

    async with Engine(tmp_path / "engine.db", keys=None) as engine:
        for _ in range(20):
            with pytest.raises(StoreFailed):
                await engine.store.write(refused)
        await until(lambda: tries)
        await rounds(100)
        assert len(tries) == 1


@pytest.mark.parametrize(
    ("place", "name", "sentence"),
    [
        (Executor, "_due_items", "The engine can't look for work: KeyError: 'unforeseen'"),
        (executor, "fire_due", "The engine can't end what is due: KeyError: 'unforeseen'"),
        (History, "forget_some", "The engine can't forget what has ended: KeyError: 'unforeseen'"),
    ],
)
async def test_a_task_of_the_engine_outlives_an_unforeseen_error_and_tells_it(
    dev_lab, until, monkeypatch, place, name, sentence
):
    """Right: /health says 503 as long as it lasts, then all goes on. Wrong: the task is gone, all is "OK"."""
    broken, usual = [True], getattr(place, name)

    def fail(*arguments):
        if broken:
            raise KeyError("unforeseen")
        return usual(*arguments)

    monkeypatch.setattr(place, name, fail)
    monkeypatch.setattr(executor, "_STORE_PAUSE", 0.01)
    dev_lab.retention = datetime.timedelta(seconds=10)  # so that it is looked at each second

    @dev_lab.function()
    async def run(ctx):
        await ctx.step.sleep("nap", datetime.timedelta(milliseconds=1))
        dev_lab.log.append("slept")

    async with dev_lab.running(), dev_lab.http() as http:
        await dev_lab.send()
        await until(lambda: dev_lab.engine.problem == sentence, seconds=20)
        assert (await http.get("/health")).status_code == 503
        broken.clear()
        await until(lambda: dev_lab.engine.problem is None, seconds=20)
        await dev_lab.until_logged("slept", seconds=20)
        assert (await http.get("/health")).status_code == 200


@pytest.mark.parametrize("task", ["atlas-engine-executor", "atlas-engine-history"])
async def test_a_task_of_the_engine_that_is_gone_is_told(tmp_path, until, task):
    """Nothing begins it again, so that the one who looks at /health has to know."""
    async with Engine(tmp_path / "engine.db", keys=None) as engine, client(engine) as http:
        assert (await http.get("/health")).status_code == 200
        [gone] = [one for one in asyncio.all_tasks() if one.get_name() == task]
        gone.cancel()
        await until(gone.done)
        health = await http.get("/health")
    assert (health.status_code, health.json()["message"]) == (
        503,
        f"The task {task} has ended: start the engine again.",
    )


def test_a_call_is_read_from_one_state_of_the_store(tmp_path):
    """Right: B is pending or has a memo. Wrong: B ends while the call is read, and neither is told."""
    path = tmp_path / "engine.db"
    a, b = step_id("a"), step_id("b")
    with (
        contextlib.closing(connect_store(path)) as writer,
        contextlib.closing(connect_reader(path)) as reader,
    ):
        writer.execute("INSERT INTO events VALUES ('e', 'go', '{}', 1)")
        writer.execute(
            "INSERT INTO runs VALUES ('r', 'f', 'e', 'RUNNING', 'f', 1, 10, NULL, 1, NULL)",
        )
        writer.execute("INSERT INTO memos VALUES ('r', 0, ?, 'a', '{\"data\":1}')", (a,))
        for item, queued in enumerate(("step", b), start=1):
            writer.execute("INSERT INTO queue VALUES (?, 'r', ?, 'f', 0, 0, 0)", (item, queued))

        def end_b(statement):
            if "EXISTS" in statement:
                reader.set_trace_callback(None)
                writer.execute("INSERT INTO memos VALUES ('r', 1, ?, 'b', '{\"data\":2}')", (b,))
                writer.execute("DELETE FROM queue WHERE item_id = 2")

        reader.set_trace_callback(end_b)
        call = load_call(reader, 1)
        assert (call.step_ids, call.has_pending) == ((a,), True)
        later = load_call(reader, 1)
        assert (later.step_ids, later.has_pending) == ((a, b), False)
