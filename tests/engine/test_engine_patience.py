"""An app that can't be reached for a while loses no run: a call that reached nothing is not an attempt."""

import asyncio
import contextlib
import json
import socket
import sqlite3

import httpx
import pytest
import uvicorn
from raw_app import RawApp, done, step, steps

from atlas.engine import Engine, patience


@contextlib.contextmanager
def closed_port():
    """A socket whose port refuses connections until something listens on it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held


def url_of(held):
    return f"http://127.0.0.1:{held.getsockname()[1]}"


@contextlib.asynccontextmanager
async def listening(web, held):
    """Serves the app on the socket."""
    config = uvicorn.Config(web, log_config=None, lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[held])
    try:
        yield
    finally:
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()


def queued(directory):
    """What is queued, as (attempt, due_at)."""
    with contextlib.closing(sqlite3.connect(directory / "engine.db")) as connection:
        return connection.execute("SELECT attempt, due_at FROM queue").fetchall()


async def until_put_off(directory, until, *, after=0):
    """Waits until the one call is put off to a moment after the given one, and returns that moment."""
    await until(lambda: queued(directory)[0][1] > after)
    [(attempt, due_at)] = queued(directory)
    assert attempt == 0
    return due_at


async def test_an_app_that_restarts_loses_no_run_and_no_attempt(start_server, draw_keys, until):
    """The right order: refused several times, the engine killed in between, then called once as attempt 0.

    No connection was made, so that the function cannot have run; without retries one refusal would end it.
    """
    server = start_server(keys=draw_keys())
    raw = RawApp(server.url, server.keys)
    with closed_port() as held:
        async with raw.http:
            assert (await raw.register(url_of(held), retries=0)).status_code == 200
            event_id = await raw.send()
            first = await until_put_off(server.directory, until)
            second = await until_put_off(server.directory, until, after=first)
            server.kill()
            server.start()
            await until_put_off(server.directory, until, after=second)
            async with listening(raw.web, held):
                run = await raw.run_of(event_id)
    assert (run["status"], run["output"]) == ("Completed", "done")
    assert [call.body["ctx"]["attempt"] for call in raw.calls] == [0]


async def test_an_app_that_restarts_between_two_steps_loses_no_run(start_server, until):
    """The second call finds the app gone; what the first one did is kept and not done again."""
    server = start_server()
    raw = RawApp(server.url, None)
    raw.answer = lambda call: done() if call.body["steps"] else steps(step("nap", op="Sleep", name="1s"))
    with closed_port() as first, closed_port() as second:
        async with raw.http:
            async with listening(raw.web, first):
                assert (await raw.register(url_of(first), retries=0)).status_code == 200
                event_id = await raw.send()
                await until(lambda: raw.calls)
                await raw.register(url_of(second), retries=0)
            await until(lambda: queued(server.directory))
            await until_put_off(server.directory, until)
            async with listening(raw.web, second):
                run = await raw.run_of(event_id)
    assert run["status"] == "Completed"
    assert [call.body["ctx"]["attempt"] for call in raw.calls] == [0, 0]


@pytest.fixture
def engine(tmp_path):
    """An engine that reaches its apps over the network."""
    return Engine(tmp_path / "engine.db", keys=None)


async def ended_run(engine, until, url, *, retries):
    """Runs a function at the URL to its end; returns its status and its output."""
    raw = RawApp("http://engine.test", None)
    await engine.register({"appname": raw.name, "functions": [raw.configuration(url, retries=retries)]})
    transport = httpx.ASGITransport(app=engine.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://engine.test") as http, raw.http:
        await http.post("/e/any", json={"name": raw.event("go")})

    def read():
        return engine.store.reader.execute("SELECT status, output FROM runs").fetchone()

    await until(lambda: read()[0] != "RUNNING")
    return read()[0], json.loads(read()[1])


async def test_an_app_that_stays_away_uses_its_attempts(engine, until, monkeypatch):
    """Patience ends: then the run fails, with a sentence that names the address."""
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    with closed_port() as held:
        async with engine:
            status, output = await ended_run(engine, until, url_of(held), retries=1)
        port = held.getsockname()[1]
    assert (status, output["name"]) == ("FAILED", "AppUnreachable")
    assert f"No connection to 127.0.0.1, port {port}, could be made" in output["message"]


async def test_a_connection_that_breaks_after_the_call_was_sent_is_an_attempt(engine, until):
    """The function may have run: only what was never sent is called again without being counted."""
    connections = []

    async def hang_up(reader, writer):
        connections.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as peer, engine:
        status, output = await ended_run(engine, until, url_of(peer.sockets[0]), retries=0)
    assert (status, output["name"], len(connections)) == ("FAILED", "CallFailed", 1)


def test_the_wait_grows_with_the_time_that_an_app_has_been_away(monkeypatch):
    """A short restart is noticed soon, a long one is asked about seldom; what was dropped is forgotten."""
    clock = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: clock[0])
    waits, known = [], patience.Patience()
    known.wait(8, is_unreached=True)  # of a run that is cancelled then
    while (wait := known.wait(7, is_unreached=True)) is not None:
        waits.append(wait)
        clock[0] += wait / 1000
    assert waits[:3] == [250, 250, 250]
    assert waits == sorted(waits)
    assert max(waits) == 5000
    assert patience.PATIENCE <= clock[0] <= patience.PATIENCE + 5
    clock[0] += patience.FORGOTTEN
    assert known.wait(9, is_unreached=False) is None
    assert known._since == {}


@pytest.mark.parametrize("apart", [0.0, 2.5, 5.0, 9.5])
def test_an_app_that_never_answers_a_connection_uses_its_attempts(monkeypatch, apart):
    """Right: what has lasted for 30 s counts. Wrong: it is forgotten after 40 s, and the run never ends.

    Each try takes the 10 s of a connection to which no answer comes; a second call fails some seconds later.
    """
    clock = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: clock[0])
    known, wait, tries = patience.Patience(), 0, 0
    while wait is not None and tries < 10:
        clock[0] += wait / 1000 + 10
        tries += 1
        wait = known.wait(7, is_unreached=True)
        clock[0] += apart
        known.wait(8, is_unreached=True)
        clock[0] -= apart
    assert (wait, tries) == (None, 4)
