"""A killed engine goes on where it was; nothing acknowledged is lost and no memo is made twice."""

import asyncio
import contextlib
import datetime
import sqlite3

import httpx
import pytest

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def play_with(start_server, make_app, draw_keys, served):
    """Returns a server and a context in which an app with the given functions is synced with it."""
    keys = draw_keys()
    server = start_server(keys=keys)
    app = make_app(base_url=server.url, keys=keys)

    class Running:
        async def __aenter__(self):
            self.context = served(app.serve())
            url = await self.context.__aenter__()
            async with httpx.AsyncClient(timeout=60) as http:
                assert (await http.put(f"{url}/api/inngest")).status_code == 200
            return self

        async def __aexit__(self, *error):
            await self.context.__aexit__(*error)

    return server, app, Running


def kept_waits(server):
    """How many runs wait for an event, as the file has it."""
    with contextlib.closing(sqlite3.connect(server.directory / "engine.db")) as connection:
        return connection.execute("SELECT count(*) FROM pauses WHERE kind = 'wait'").fetchone()[0]


async def test_a_run_that_waits_survives_kill_9(play_with, until):
    server, app, running = play_with

    @app.function()
    async def run(ctx):
        await ctx.step.run("before", app.step("before"))
        found = await ctx.step.wait_for_event(
            "wait", event=app.event("decided"), if_exp="async.data.case == event.data.case", timeout=HOUR
        )
        await ctx.step.run("after", app.step(("after", found.data["decision"]), note="after"))
        app.log.append("end")

    async with running():
        await app.send(data={"case": "a"})
        await until(lambda: len(app.calls) == 2)
        await until(lambda: kept_waits(server))
        server.kill()
        server.start()
        await app.send("decided", {"case": "a", "decision": "yes"})
        await app.until_logged("end")
    assert app.log == ["before", "after", "end"]


async def test_a_run_that_sleeps_survives_kill_9(play_with, until):
    server, app, running = play_with

    @app.function()
    async def run(ctx):
        await ctx.step.run("before", app.step("before"))
        await ctx.step.sleep("nap", 1500)
        app.log.append("end")

    async with running():
        await app.send()
        await until(lambda: len(app.calls) == 2)
        server.kill()
        server.start()
        await app.until_logged("end")
    assert app.log == ["before", "end"]


async def test_a_step_that_was_running_at_kill_9_is_called_again_with_the_same_attempt(play_with, until):
    server, app, running = play_with
    released = asyncio.Event()

    @app.function(retries=0)
    async def run(ctx):
        async def slow():
            app.log.append(("slow", ctx.attempt))
            if len(app.log) == 1:
                await released.wait()
            return "done"

        app.log.append(await ctx.step.run("slow", slow))

    async with running():
        await app.send()
        await app.until_logged(("slow", 0))
        server.kill()
        server.start()
        await app.until_logged("done")
        released.set()
    assert app.log == [("slow", 0), ("slow", 0), "done"]


async def test_every_acknowledged_event_is_run_after_kill_9(play_with, until):
    server, app, running = play_with

    @app.function()
    async def run(ctx):
        n = await ctx.step.run("first", lambda: ctx.event.data["n"])
        await ctx.step.run("second", app.step(n))

    async with running():
        sends = [asyncio.create_task(app.send(data={"n": n})) for n in range(100)]
        await asyncio.wait(sends[:50])
        server.kill()
        server.start()
        await asyncio.gather(*sends)  # the SDK repeats what was not acknowledged
        await until(lambda: set(app.log) == set(range(100)))


async def test_an_event_is_on_disk_when_it_is_acknowledged(start_server):
    """Killed at the very answer, the file has it; a file on which nothing was lost is opened again."""
    server = start_server()
    async with httpx.AsyncClient(timeout=60) as http:
        for n in range(3):
            answer = await http.post(f"{server.url}/e/any", json={"name": "go", "data": {"n": n}})
            server.kill()
            with contextlib.closing(sqlite3.connect(server.directory / "engine.db")) as connection:
                found = connection.execute("SELECT body FROM events WHERE event_id = ?", answer.json()["ids"])
                assert f'"n":{n}' in found.fetchone()[0]
            server.start()


async def test_a_stopped_engine_resumes_runs_and_timers(lab, until):
    @lab.function()
    async def run(ctx):
        await ctx.step.run("before", lab.step("before"))
        await ctx.step.wait_for_event("wait", event=lab.event("decided"), timeout=HOUR)
        await ctx.step.sleep("nap", 50)
        lab.log.append("end")

    async with lab.running():
        await lab.send()
        await until(lambda: lab.rows("SELECT 1 FROM pauses"))
    async with lab.running():
        await lab.send("decided")
        await until(lambda: lab.rows("SELECT 1 FROM pauses WHERE kind = 'sleep'"))
    async with lab.running():
        await lab.until_logged("end")
        await lab.until_ended()
        assert lab.statuses() == ["COMPLETED"]
    assert lab.log == ["before", "end"]


async def test_the_engine_stops_while_a_step_is_running(lab):
    @lab.function()
    async def run(ctx):
        lab.log.append("called")
        if lab.log.count("called") == 1:
            await asyncio.Event().wait()
        lab.log.append("end")

    async with lab.running():
        await lab.send()
        await lab.until_logged("called")
    async with lab.running():
        await lab.until_logged("end")
