"""What only the engine's own store can show of runs: limits, cancelling, concurrency."""

import asyncio
import datetime
import hashlib
import time

import inngest
import pytest

HOUR = datetime.timedelta(hours=1)
MONTH = 31 * 86_400_000  # milliseconds


async def test_the_wire_carries_what_the_sdk_reads(lab):
    @lab.function(retries=3)
    async def run(ctx):
        await ctx.step.run("first", lab.step("a"))
        return {"done": True}

    async with lab.running():
        await lab.send(data={"x": 1})
        await lab.until_ended()
        (_, first, headers), (step_id, second, _) = lab.app.calls
        assert lab.output() == '{"done":true}'
    assert headers["x-run-id"] == first["ctx"]["run_id"]
    assert ("x-inngest-signature" in headers) is (lab.keys is not None)
    assert first["ctx"]["max_attempts"] == 4
    assert first["events"] == [first["event"]]
    assert step_id == "step"
    assert list(second["steps"].values()) == [{"data": "a"}]
    assert second["ctx"]["stack"] == {"stack": list(second["steps"]), "current": 1}


@pytest.mark.parametrize(
    ("size", "steps", "name"),
    [(4_200_000, 1, "OutputTooLarge"), (9_000_000, 1, "AnswerTooLarge"), (0, 1001, "TooManySteps")],
)
async def test_a_run_past_the_limits_fails_with_a_name(dev_lab, size, steps, name):
    @dev_lab.function()
    async def run(ctx):
        for n in range(steps):
            await ctx.step.run(f"{n}", lambda: "x" * size)

    async with dev_lab.running():
        if steps > 1:
            await _prefill(dev_lab, steps - 1)
        else:
            await dev_lab.send()
        await dev_lab.until_ended()
        assert dev_lab.statuses() == ["FAILED"]
        assert name in dev_lab.output()


async def _prefill(lab, count):
    """Starts a run and gives it the memos of its first steps, which it would take long to earn."""

    def fill(connection):
        (run_id,) = connection.execute("SELECT run_id FROM runs").fetchone()
        rows = [
            (run_id, n, hashlib.new("sha1", str(n).encode()).hexdigest(), str(n), '{"data":""}')  # noqa: S324
            for n in range(count)
        ]
        connection.executemany("INSERT INTO memos VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("UPDATE runs SET memo_count = ?", (count,))
        connection.execute("UPDATE queue SET due_at = 0")

    await lab.send(ts=4_000_000_000_000)
    await lab.engine.store.write(fill)


async def test_an_invalid_wait_expression_fails_the_run(dev_lab):
    @dev_lab.function()
    async def run(ctx):
        await ctx.step.wait_for_event("wait", event="x", if_exp="async.data.==", timeout=HOUR)

    async with dev_lab.running():
        await dev_lab.send()
        await dev_lab.until_ended()
        assert dev_lab.statuses() == ["FAILED"]
        assert "not a CEL expression" in dev_lab.output()


async def test_what_no_one_listens_for_is_not_said(dev_lab):
    @dev_lab.function(retries=0)
    async def run(ctx):
        raise inngest.NonRetriableError("never again")

    async with dev_lab.running():
        await dev_lab.send()
        await dev_lab.until_ended()
        assert dev_lab.rows("SELECT name FROM events") == [(dev_lab.event("go"),)]


async def test_what_ended_long_ago_is_forgotten_at_the_next_start(dev_lab, until):
    @dev_lab.function()
    async def run(ctx):
        await ctx.step.run("step", dev_lab.step("step"))

    seed = {"x-inngest-event-id-seed": f"{int(time.time() * 1000) - MONTH},AAECAwQFBgcICQ=="}
    async with dev_lab.running(), dev_lab.http() as http:
        await http.post("/e/any", json={"name": dev_lab.event("go")}, headers=seed)
        await dev_lab.send()
        await dev_lab.until_ended(2)
        await dev_lab.engine.store.write(_age)
    async with dev_lab.running():
        await until(lambda: len(dev_lab.rows("SELECT 1 FROM runs")) == 1)
        await until(lambda: len(dev_lab.rows("SELECT 1 FROM events")) == 1)
        assert len(dev_lab.rows("SELECT 1 FROM memos")) == 1


def _age(connection):
    """Makes the oldest event, and its run, a month old."""
    old = "WHERE event_id = (SELECT min(event_id) FROM events)"
    connection.execute(f"UPDATE runs SET ended_at = ended_at - {MONTH} {old}")
    connection.execute(f"UPDATE events SET received_at = received_at - {MONTH} {old}")


async def test_a_run_is_cancelled_by_hand_once(dev_lab, until):
    @dev_lab.function()
    async def run(ctx):
        await ctx.step.wait_for_event("wait", event=dev_lab.event("decided"), timeout=HOUR)
        dev_lab.log.append("resumed")

    @dev_lab.function("mourner", trigger=inngest.TriggerEvent(event="inngest/function.cancelled"))
    async def mourn(ctx):
        dev_lab.log.append(ctx.event.data["run_id"])

    async with dev_lab.running(), dev_lab.http() as http:
        event_id = await dev_lab.send()
        await until(lambda: dev_lab.rows("SELECT 1 FROM pauses"))
        (run,) = (await http.get(f"/v1/events/{event_id}/runs")).json()["data"]
        assert run["status"] == "Running"
        assert (await http.delete(f"/v1/runs/{run['run_id']}")).status_code == 204
        assert (await http.delete(f"/v1/runs/{run['run_id']}")).status_code == 404
        await dev_lab.send("decided")
        await dev_lab.until_logged(run["run_id"])
        assert (await http.get(f"/v1/runs/{run['run_id']}")).json()["data"]["status"] == "Cancelled"
    assert "resumed" not in dev_lab.log


async def test_a_wait_costs_nothing_to_runs_that_wait_for_something_else(dev_lab, until):
    @dev_lab.function()
    async def run(ctx):
        await ctx.step.wait_for_event(
            "wait",
            event=dev_lab.event("decided"),
            if_exp="async.data.case == event.data.case && async.data.n > 1",
            timeout=HOUR,
        )

    async with dev_lab.running():
        await asyncio.gather(*[dev_lab.send(data={"case": n}) for n in range(20)])
        await until(lambda: len(dev_lab.rows("SELECT 1 FROM pauses")) == 20)
        plan = dev_lab.rows(
            "EXPLAIN QUERY PLAN SELECT 1 FROM pauses"
            " WHERE event_name = '' AND match_path = '' AND match_value = ''"
        )
        assert "pauses_match" in plan[0][3]
        await dev_lab.send("decided", {"case": 7, "n": 1})
        await dev_lab.send("decided", {"case": 7, "n": 2})
        await until(lambda: dev_lab.statuses().count("COMPLETED") == 1)
        assert len(dev_lab.rows("SELECT 1 FROM pauses")) == 19


async def test_functions_that_are_gone_start_no_runs(dev_lab):
    @dev_lab.function("kept")
    async def kept(ctx):
        dev_lab.log.append("kept")

    @dev_lab.function("gone")
    async def gone(ctx):
        dev_lab.log.append("gone")

    async with dev_lab.running(), dev_lab.http() as http:
        body = {"appname": dev_lab.app.name, "functions": [_configuration(dev_lab.app.functions[0])]}
        assert (await http.post("/fn/register", json=body)).json()["modified"] is True
        assert (await http.post("/fn/register", json=body)).json()["modified"] is False
        await dev_lab.send()
        await dev_lab.until_ended()
    assert dev_lab.log == ["kept"]


def _configuration(function):
    return function.get_config("http://app.test/api/inngest").main.model_dump(
        mode="json", by_alias=True, exclude_none=True
    )


@pytest.mark.parametrize("name", ["slow", "slow one"])
async def test_those_behind_a_lane_that_is_full_do_not_wait_for_all_of_it(dev_lab, name):
    """However many runs wait for a function of which one call goes at a time, another function starts."""
    release = asyncio.Event()

    @dev_lab.function(name, trigger="slow", concurrency=[inngest.Concurrency(limit=1)])
    async def slow(ctx):
        dev_lab.log.append("begun")
        await release.wait()

    @dev_lab.function("quick", trigger="quick")
    async def quick(ctx):
        dev_lab.log.append("quick")

    async with dev_lab.running():
        names = ["slow"] * 100 + ["quick"]
        await dev_lab.app.client.send([inngest.Event(name=dev_lab.event(name)) for name in names])
        await dev_lab.until_logged("quick")
        assert dev_lab.log.count("begun") == 1
        release.set()
