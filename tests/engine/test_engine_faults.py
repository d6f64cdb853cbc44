"""What the engine does with a damaged file, a full disk and a locked database: says so, and loses nothing."""

import asyncio
import contextlib
import os
import resource
import shutil
import sqlite3

import httpx
import pytest
from starlette.applications import Starlette

from atlas.engine import Engine, EngineError

BEGIN_EMPTY = r"move engine\.db\* away to begin with an empty one"


def waiter(lab):
    """Add a function that runs a step and waits."""

    @lab.function()
    async def run(ctx):
        await ctx.step.run("before", lab.step("x" * 20_000, note="before"))
        await ctx.step.wait_for_event("wait", event=lab.event("decided"), timeout=10_000_000)
        lab.log.append("end")


def engine_of(path):
    """An engine whose apps are not there."""
    return Engine(path, keys=None, transport=httpx.ASGITransport(app=Starlette()))


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """Two directories with a store that has five runs: as an engine left it, and as a killed one did."""
    directory = tmp_path_factory.mktemp("templates")
    asyncio.run(make_stores(directory / "stopped", directory / "killed"))
    return directory


async def make_stores(stopped, killed):
    """Have an engine keep events for an app that is not there."""
    stopped.mkdir()
    async with engine_of(stopped / "engine.db") as engine, transport_to(engine) as http:
        await engine.register({"appname": "a", "functions": [_function()]})
        for n in range(5):
            event = {"name": "go", "data": {"n": n, "filler": "x" * 20_000}}
            assert (await http.post("/e/any", json=event)).status_code == 200
        shutil.copytree(stopped, killed)


def transport_to(engine):
    """A client of the API of an engine."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=engine.app), base_url="http://engine.test")


def _function():
    runtime = {"type": "http", "url": "http://127.0.0.1:1/api/inngest?fnId=x&stepId=step"}
    return {"id": "x", "triggers": [{"event": "go"}], "steps": {"step": {"runtime": runtime}}}


@pytest.fixture
def stopped(templates, tmp_path):
    """Returns a function that copies a store; its engine was stopped, or killed."""

    def copy(*, is_killed):
        path = shutil.copytree(templates / ("killed" if is_killed else "stopped"), tmp_path / "data")
        return path / "engine.db"

    return copy


def scribble(path, start, length):
    """Write random bytes over a part of a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(length))


def truncate_half(path):
    """Cut a file in half."""
    os.truncate(path, path.stat().st_size // 2)


def beside(path, ending):
    """The file with another ending."""
    return path.with_name(path.name + ending)


DAMAGES = {
    "random bytes in the header": lambda path: scribble(path, 0, 100),
    "random bytes in the middle": lambda path: scribble(path, 4096 * 4, 4096 * 8),
    "cut off": truncate_half,
    "empty": lambda path: os.truncate(path, 0),
    "a text": lambda path: path.write_text("not a database\n" * 1000),
    "missing, though it was there": lambda path: path.unlink(),
}
DAMAGES_AFTER_A_KILL = {
    "its -wal missing": lambda path: beside(path, "-wal").unlink(),
    "its -wal cut off": lambda path: truncate_half(beside(path, "-wal")),
    "its -wal empty": lambda path: os.truncate(beside(path, "-wal"), 0),
    "its -wal scribbled over": lambda path: scribble(beside(path, "-wal"), 4096 * 2, 4096),
    "missing beside its -wal": lambda path: path.unlink(),
}


def contents(path):
    """What is in the files of a store, but for the one that is made from the others."""
    return {
        file.name: file.read_bytes() for file in path.parent.glob("engine.db*") if "-shm" not in file.name
    }


@pytest.mark.parametrize(
    ("damage", "is_killed"),
    [
        *((damage, False) for damage in DAMAGES),
        *((damage, True) for damage in DAMAGES_AFTER_A_KILL),
    ],
)
async def test_a_damaged_store_is_refused_in_one_sentence_and_left_as_it_is(stopped, damage, is_killed):
    """The sentence names the file and what to do, and doing it helps."""
    path = stopped(is_killed=is_killed)
    (DAMAGES | DAMAGES_AFTER_A_KILL)[damage](path)
    before = contents(path)
    with pytest.raises(EngineError, match=BEGIN_EMPTY) as refused:
        async with engine_of(path):
            pass
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    assert {name: content for name, content in contents(path).items() if content} == {
        name: content for name, content in before.items() if content
    }
    for file in path.parent.glob("engine.db*"):
        file.rename(file.with_name(f"broken-{file.name}"))
    async with engine_of(path) as engine:
        assert engine.problem is None


async def test_a_store_whose_engine_was_killed_is_opened_again_with_all_that_was_acknowledged(stopped):
    """The counterpart: nothing is refused that is whole."""
    path = stopped(is_killed=True)
    async with engine_of(path) as engine:
        assert engine.store.reader.execute("SELECT count(*) FROM runs").fetchall() == [(5,)]


async def test_a_store_of_an_earlier_version_without_numbered_commits_is_opened(stopped):
    """Its commits are numbered from then on."""
    path = stopped(is_killed=False)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE commits")
    beside(path, ".lock").write_bytes(b"")
    async with engine_of(path) as engine:
        assert await engine.register({"appname": "b", "functions": [_function()]})
    assert int(beside(path, ".lock").read_bytes()) >= 1


async def test_damage_that_is_found_while_the_engine_runs_is_told(dev_lab, until):
    """The engine says what is wrong, refuses events, and does not end."""
    waiter(dev_lab)
    async with dev_lab.running(), dev_lab.http() as http:
        await dev_lab.send()
        await until(lambda: dev_lab.rows("SELECT 1 FROM pauses"))
        damage_running(dev_lab.path)
        answer = await http.post("/e/any", json={"name": dev_lab.event("go")})
        assert answer.status_code == 500
        assert "malformed" in answer.json()["error"]
        health = await http.get("/health")
        assert health.status_code == 503
        assert "is damaged" in health.json()["message"]
        assert "is damaged" in dev_lab.engine.problem


def damage_running(path):
    """Scribble over a database that a process has open, and have it look at the file again."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = path.stat().st_size
        scribble(path, 4096, size - 4096)
        connection.execute("PRAGMA user_version = 1")


async def test_a_process_whose_disk_is_full_acknowledges_nothing_and_goes_on_when_there_is_room(
    start_server, make_app, draw_keys, served, until
):
    """Events are answered 500 with a sentence, /health tells it; later everything is taken and run, once."""
    keys = draw_keys()
    server = start_server(keys=keys)
    app = make_app(base_url=server.url, keys=keys)

    @app.function()
    async def run(ctx):
        await ctx.step.run("noted", app.step(ctx.event.data["n"]))

    async with served(app.serve()) as url, httpx.AsyncClient(timeout=60) as http:
        assert (await http.put(f"{url}/api/inngest")).status_code == 200
        written = (server.directory / "engine.db-wal").stat().st_size
        limit_files(server, written)
        taken = [await post(http, server, keys, app, n) for n in range(3)]
        assert [answer.status_code for answer in taken] == [500] * 3
        assert "can't be written" in taken[0].json()["error"]
        health = await http.get(f"{server.url}/health")
        assert health.status_code == 503 and "can't be written" in health.json()["message"]
        limit_files(server, resource.RLIM_INFINITY)
        assert (await post(http, server, keys, app, 3)).status_code == 200
        await app.until_logged(3)
        assert (await http.get(f"{server.url}/health")).status_code == 200
    assert app.log == [3]


def limit_files(server, size):
    """Let no file of a process grow beyond a size, as on a full disk."""
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def post(http, server, keys, app, n):
    """Send one event, once."""
    event = {"name": app.event("go"), "data": {"n": n, "filler": "x" * 50_000}}
    return await http.post(f"{server.url}/e/{keys.event_key}", json=event, timeout=60)


async def test_a_store_that_another_process_has_locked_loses_nothing(dev_lab):
    """After two seconds an event is refused; what an app had answered meanwhile is kept until it can be."""
    waiter(dev_lab)
    async with dev_lab.running(), dev_lab.http() as http:
        await dev_lab.send()
        await dev_lab.until_logged("before")
        with contextlib.closing(sqlite3.connect(dev_lab.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            answer = await http.post("/e/any", json={"name": dev_lab.event("other")})
            assert answer.status_code == 500
            assert "locked" in answer.json()["error"]
            assert "locked" in dev_lab.engine.problem
            other.execute("ROLLBACK")
        await dev_lab.app.until_logged("before")
        while "end" not in dev_lab.log:
            await dev_lab.send("decided")
        await dev_lab.until_ended()
    assert dev_lab.log == ["before", "end"]


async def test_a_store_that_is_locked_at_start_is_not_called_damaged(stopped):
    """It may be free in a moment, so the message does not say to begin with an empty one."""
    path = stopped(is_killed=False)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EngineError, match=r"can't be used at the moment: database is locked\.$"):
            async with engine_of(path):
                pass
    async with engine_of(path) as engine:
        assert engine.problem is None
