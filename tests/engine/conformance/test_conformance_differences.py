"""Where our server differs on purpose: each case names its row of the table in `atlas/engine/__init__.py`."""

import asyncio
import datetime
import socket
import time

import pytest
from raw_app import Reply, done, error, step, step_id, steps

HOUR = datetime.timedelta(hours=1)


async def test_a_first_retry_comes_soon(raw, differs, until):
    differs("wait before a retry")
    times, naps = [], []

    def answer(call):
        if call.body["event"]["data"].get("sleeps"):
            naps.append(call)
            return steps(step("nap", op="Sleep", name="14s"))  # Inngest waits longer before a retry
        times.append(time.monotonic())
        return error() if len(times) < 2 else done()

    raw.answer = answer
    async with raw.running():
        await raw.send(data={"sleeps": True})
        await until(lambda: naps)
        await raw.run_of(await raw.send())
        assert len(naps) == 1, "a sleep of 14 seconds that began before has ended"
    assert times[1] - times[0] > 0.9


async def test_what_can_not_be_signed_is_not_taken(raw, differs):
    differs("NaN, lone surrogates")
    async with raw.running():
        answers = [
            await raw.post(b'{"name":"a","data":{"n":NaN}}'),
            await raw.post(b'{"name":"a","data":{"t":"\\ud800"}}'),
        ]
    assert [answer.status_code for answer in answers] == [400, 400]


async def test_what_is_nested_too_deeply_is_not_taken(raw, differs):
    differs("more than 200 levels of JSON")
    async with raw.running():
        answer = await raw.post(b'{"name":"a","data":{"n":' + b"[" * 199 + b"]" * 199 + b"}}")
    assert answer.status_code == 400


async def test_one_malformed_event_keeps_the_others_out(raw, differs):
    differs("one malformed event among others")
    async with raw.running():
        answer = await raw.post([{"name": raw.event("go"), "data": {"n": 1}}, {"name": ""}])
        await raw.run_of(await raw.send(data={"n": 2}))
    assert (answer.status_code, answer.json()["ids"]) == (400, [""])
    assert [call.body["event"]["data"] for call in raw.calls] == [{"n": 2}]


async def test_an_empty_request_is_refused(raw, differs):
    differs("an empty request")
    async with raw.running():
        assert (await raw.post(b"")).status_code == 400


async def test_a_send_that_is_repeated_is_kept_once(raw, differs):
    differs("a send that is repeated")
    seed = {"x-inngest-event-id-seed": f"{int(time.time() * 1000)},AAECAwQFBgcICQ=="}
    async with raw.running():
        for _ in range(2):
            await raw.post([{"name": raw.event("sent")}] * 2, headers=seed)
        listed = (await raw.http.get("/v1/events", params={"name": raw.event("sent")})).json()["data"]
    assert len(listed) == 2


async def test_a_missing_field_never_ends_a_wait(play, until, differs):
    differs("a comparison with a missing field")

    @play.function()
    async def run(ctx):
        await ctx.step.run("before", play.step("before"))
        match = "async.data.case == event.data.case"
        found = await ctx.step.wait_for_event("wait", event=play.event("decided"), if_exp=match, timeout=HOUR)
        play.log.append(found.data["n"])

    @play.function("next", trigger="decided")
    async def follow(ctx):
        play.log.append(("seen", ctx.event.data["n"]))

    async with play.running():
        await play.send(data={})
        await until(lambda: len(play.calls) == 2)
        for n, data in enumerate(({}, {"case": None}, {"case": "a"})):
            await play.send("decided", {**data, "n": n})
            await play.until_logged(("seen", n))
    assert play.log[0] == "before"
    assert all(entry in {"before", ("seen", 0), ("seen", 1), ("seen", 2)} for entry in play.log)


async def test_a_short_sleep_is_slept(raw, differs):
    differs("a sleep")
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(milliseconds=400)
    nap = step("nap", op="Sleep") | {"name": at.isoformat().replace("+00:00", "Z")}
    woken = []

    def answer(call):
        if not call.body["steps"]:
            return steps(nap)
        woken.append(datetime.datetime.now(datetime.timezone.utc))
        return done()

    raw.answer = answer
    async with raw.running():
        await raw.run_of(await raw.send())
    assert woken[0] >= at - datetime.timedelta(milliseconds=2)


async def test_functions_are_known_by_their_names(raw, differs):
    differs("ids of functions")
    async with raw.running():
        run = await raw.run_of(await raw.send())
    assert run["function_id"] == raw.calls[0].body["ctx"]["fn_id"] == f"{raw.name}-run"


async def test_a_run_is_running_before_its_first_call(raw, differs):
    differs("a run before its first call")
    async with raw.running():
        event_id = await raw.send(ts=int(time.time() * 1000) + 3_600_000)
        run = await raw.run_of(event_id, has_ended=False)
        asked = await raw.query("query($id: String!) { run(runID: $id) { status } }", id=run["run_id"])
        await raw.http.delete(f"/v1/runs/{run['run_id']}")
    assert (run["status"], asked["run"]["status"]) == ("Running", "RUNNING")


async def test_what_rest_does_not_find_is_404(raw, differs):
    differs("what REST does not find")
    async with raw.running():
        answers = [
            await raw.http.get("/v1/runs/none"),
            await raw.http.get("/v1/events/none"),
            await raw.http.get("/v0/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/batch"),
            await raw.http.delete("/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert all(answer.json()["error"] for answer in answers)


async def test_what_graphql_does_not_offer_is_refused(raw, differs):
    differs("GraphQL")
    async with raw.running():
        answer = await raw.http.post("/v0/gql", json={"query": "{ apps { id } }"})
    assert answer.status_code == 422
    assert "apps" in answer.json()["errors"][0]["message"]


async def test_a_step_of_a_kind_that_the_engine_lacks_fails_the_run_by_name(raw, differs):
    differs("Connect, realtime, signals, `step.ai`")
    raw.answer = lambda call: steps(step("ask", op="AIGateway", opts={}))
    async with raw.running():
        run = await raw.run_of(await raw.send())
    assert run["status"] == "Failed"
    assert "AIGateway" in run["output"]["message"]


async def test_what_ends_with_an_opcode_shows_its_output(raw, differs):
    differs("RunComplete")
    raw.answer = lambda call: steps(step("end", op="RunComplete", data={"n": 1}))
    async with raw.running():
        run = await raw.run_of(await raw.send())
    assert run["output"] == {"n": 1}


async def test_after_a_race_the_function_goes_on_at_once_and_plans_its_steps(raw, differs, until):
    """While the loser still runs, a later step is planned, so that two calls can not both run it."""
    for row in ("a step after a race", "`disable_immediate_execution` after a race"):
        differs(row)
    race, may_end = {"opts": {"parallelMode": "race"}}, asyncio.Event()

    async def answer(call):
        ended = set(call.body["steps"])
        if call.step_id == step_id("slow"):
            await may_end.wait()
            return steps(step("slow", data=1) | race)
        if call.step_id == step_id("quick"):
            return steps(step("quick", data=1) | race)
        if call.step_id == step_id("after"):
            return steps(step("after", data=1))
        if step_id("after") in ended:
            may_end.set()
            return done("end")
        names = ["after"] if step_id("quick") in ended else ["quick", "slow"]
        return steps(*[step(name, op="StepPlanned") | race for name in names])

    raw.answer = answer
    async with raw.running():
        event_id = await raw.send()
        await until(may_end.is_set)  # by the last call, to which the loser's end was not needed
        run = await raw.run_of(event_id)
    assert run["output"] == "end"
    later = [call for call in raw.calls if call.step_id == "step"][1:]
    assert all(call.body["ctx"]["disable_immediate_execution"] for call in later)


async def test_events_are_handled_in_the_order_of_their_acknowledgement(raw, differs, until):
    differs("order of events")
    wait = {"name": raw.event("decided"), "opts": {"timeout": "1h"}}
    waits = steps(step("wait", op="WaitForEvent") | wait)
    raw.answer = lambda call: done(call.body["steps"]) if call.body["steps"] else waits
    async with raw.running():
        event_id = await raw.send()
        await raw.until_waiting((await raw.run_of(event_id, has_ended=False))["run_id"])
        for n in range(2):
            await raw.send("decided", {"n": n})
        run = await raw.run_of(event_id)
    assert run["output"][step_id("wait")]["data"] == {"n": 0}


async def test_an_error_of_the_server_looks_as_one_of_an_app(raw, differs):
    differs("errors of the server itself")
    raw.answer = lambda call: Reply(502, b"Bad Gateway")
    async with raw.running(retries=0):
        run = await raw.run_of(await raw.send())
    assert run["output"].keys() == {"name", "message", "stack"}
    assert run["output"]["name"] == "CallFailed"


async def test_a_run_that_has_ended_can_not_be_cancelled(raw, differs):
    differs("DELETE of a run that has ended")
    async with raw.running():
        run = await raw.run_of(await raw.send())
        answer = await raw.http.delete(f"/v1/runs/{run['run_id']}")
        same = (await raw.http.get(f"/v1/runs/{run['run_id']}")).json()["data"]
    assert (answer.status_code, same["status"]) == (404, "Completed")


@pytest.mark.parametrize("given", [{}, {"data": None}], ids=["none", "null"])
async def test_an_event_without_data_has_empty_data(raw, differs, given):
    differs("an event without data")
    async with raw.running():
        answer = await raw.post({"name": raw.event("go"), **given})
        await raw.run_of(answer.json()["ids"][0])
    assert raw.calls[0].body["event"]["data"] == {}


async def test_a_retry_that_is_wanted_at_once_comes_at_once(raw, differs):
    """Seven of the usual waits would be four minutes, much longer than the end of the run is waited for."""
    differs("`retry-after: 0`")
    raw.answer = lambda call: error(**{"retry-after": "0"}) if call.body["ctx"]["attempt"] < 7 else done()
    async with raw.running(retries=7):
        run = await raw.run_of(await raw.send())
    assert (run["status"], len(raw.calls)) == ("Completed", 8)


async def test_a_cancelled_run_has_no_output(raw, differs):
    differs("output of a cancelled run in REST")
    raw.answer = lambda call: steps(step("nap", op="Sleep", name="1h"))
    async with raw.running():
        event_id = await raw.send()
        run = await raw.run_of(event_id, has_ended=False)
        await raw.http.delete(f"/v1/runs/{run['run_id']}")
        run = await raw.run_of(event_id)
    assert (run["status"], run["output"]) == ("Cancelled", None)


async def test_an_app_that_can_not_be_reached_uses_no_attempt_at_first(raw, differs, until):
    """How long that lasts, and that the calls are made, is shown in test_engine_patience.py."""
    differs("an app that can't be reached")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        async with raw.running():
            away = f"http://127.0.0.1:{held.getsockname()[1]}"
            assert (await raw.register(away, retries=0)).status_code == 200
            event_id = await raw.send()
            assert (await raw.run_of(event_id, has_ended=False))["status"] == "Running"
            await raw.register(raw.url, retries=0)
            run = await raw.run_of(event_id)
    assert run["status"] == "Completed"
