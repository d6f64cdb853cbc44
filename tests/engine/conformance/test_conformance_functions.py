"""What a function's configuration promises, and what the server itself says of runs, from outside."""

import asyncio
import datetime

import inngest
import pytest
from raw_app import SDK, Reply, done, error, step, step_id, steps

HOUR = datetime.timedelta(hours=1)


@pytest.mark.parametrize("key", [None, "event.data.key"])
async def test_concurrency_bounds_the_calls_in_flight_for_each_key(play, until, key):
    running, seen, allowed = {"a": 0, "b": 0}, [], 2 if key is None else 4

    @play.function(concurrency=[inngest.Concurrency(limit=2, key=key)])
    async def run(ctx):
        async def slow():
            running[ctx.event.data["key"]] += 1
            seen.append(dict(running))
            await until(lambda: max(sum(now.values()) for now in seen) >= allowed, seconds=60)
            await asyncio.sleep(0.05)  # in which one more would come that is not allowed
            running[ctx.event.data["key"]] -= 1

        await ctx.step.run("slow", slow)
        play.log.append("end")

    async with play.running():
        await play.client.send(
            [inngest.Event(name=play.event("go"), data={"key": "ab"[n % 2]}) for n in range(10)]
        )
        await until(lambda: len(play.log) == 10, seconds=60)
    assert max(sum(now.values()) for now in seen) == allowed
    assert max(max(now.values()) for now in seen) <= 2


async def test_a_run_that_waits_takes_no_place_of_the_others(play, until):
    @play.function(concurrency=[inngest.Concurrency(limit=1)])
    async def run(ctx):
        await ctx.step.run("before", play.step(ctx.event.data["n"]))
        await ctx.step.wait_for_event("wait", event=play.event("never"), timeout=HOUR)

    async with play.running():
        for n in range(3):
            await play.send(data={"n": n})
        await until(lambda: sorted(play.log) == [0, 1, 2])


async def test_a_star_at_the_end_of_a_trigger_stands_for_any_ending(play, until):
    @play.function(trigger="go.*")
    async def run(ctx):
        play.log.append(ctx.event.name.removeprefix(play.name))

    async with play.running():
        for name in ("go.first", "stop", "gone", "go.second"):
            await play.send(name)
        await until(lambda: {"/go.first", "/go.second"} <= set(play.log))
        await play.send("go.last")
        await play.until_logged("/go.last")
    assert sorted(play.log) == ["/go.first", "/go.last", "/go.second"]


async def test_a_function_may_have_several_triggers(play, until):
    triggers = [
        inngest.TriggerEvent(event=play.event("go")),
        inngest.TriggerEvent(event=play.event("other"), expression="event.data.n > 1"),
    ]

    @play.function(trigger=triggers)
    async def run(ctx):
        play.log.append(ctx.event.data["n"])

    async with play.running():
        await play.send(data={"n": 0})
        await play.send("other", {"n": 1})
        await play.send("other", {"n": 2})
        await until(lambda: len(play.log) == 2)
    assert sorted(play.log) == [0, 2]


@pytest.mark.parametrize("end", ["failed", "finished", "cancelled"])
async def test_the_server_says_how_a_run_ended(play, look, until, end):
    of_run = f"event.data.function_id == '{play.name}-run'"
    listened = inngest.TriggerEvent(event=f"inngest/function.{end}", expression=of_run)

    @play.function(retries=0, cancel=[inngest.Cancel(event=play.event("stop"))])
    async def run(ctx):
        play.log.append("called")
        if end == "failed":
            raise inngest.NonRetriableError("never again")
        if end == "cancelled":
            await ctx.step.wait_for_event("wait", event=play.event("never"), timeout=HOUR)
        return {"n": 1}

    @play.function("listener", trigger=listened)
    async def listen(ctx):
        play.log.append(ctx.event.data)

    async with play.running():
        await play.send(data={"of": "mine"})
        if end == "cancelled":
            await until(lambda: "called" in play.log)
            await look.until_waiting(play.calls[0][1]["ctx"]["run_id"])
            await play.send("stop")
        await until(lambda: len(play.log) == 2)
    said = play.log[1]
    assert said["run_id"] == play.calls[0][1]["ctx"]["run_id"]
    assert said["event"]["data"] == {"of": "mine"}
    if end == "failed":
        assert {key: said["error"][key] for key in ("error", "name", "message")} == {
            "error": "NonRetriableError",
            "name": "NonRetriableError",
            "message": "never again",
        }
    if end == "finished":
        assert said["result"] == {"n": 1}


FAILURES = [
    (error(**{"x-inngest-no-retry": "true"}), "NonRetriableError"),
    (
        Reply(400, {"name": "Error", "message": "boom"}, {**SDK, "x-inngest-no-retry": "true"}),
        "NonRetriableError",
    ),
    (error(), "invalid status code: 500"),
    (Reply(400, {"name": "Error", "message": "boom"}, SDK), "invalid status code: 400"),
    (
        Reply(500, {"name": "Error", "message": "", "code": "non_retriable_error"}, SDK),
        "invalid status code: 500",
    ),
    (
        Reply(503, {"name": "Error", "message": "boom", "code": "step_errored"}, SDK),
        "invalid status code: 503",
    ),
]


@pytest.mark.parametrize("end", ["failed", "finished"])
@pytest.mark.parametrize(("reply", "reason"), FAILURES)
async def test_the_error_of_a_failed_run_is_that_of_its_answer(raw, until, reply, reason, end):
    """It is NonRetriableError where the answer wanted no retry, with any body; else the true status."""
    said = []

    def answer(call):
        if call.function_id.endswith("-run"):
            return reply
        said.append(call.body["event"]["data"]["error"])
        return done()

    raw.answer = answer
    of_run = f"event.data.function_id == '{raw.name}-run'"
    listens = [{"event": f"inngest/function.{end}", "expression": of_run}]
    async with raw.running():
        functions = [
            raw.configuration(raw.url, retries=0),
            raw.configuration(raw.url, name="listener", triggers=listens),
        ]
        assert (await raw.register(raw.url, functions=functions)).status_code == 200
        assert (await raw.run_of(await raw.send()))["status"] == "Failed"
        await until(lambda: said)
    assert said[0]["error"] == reason


async def test_a_cancel_has_no_effect_after_its_time(raw):
    async def answer(call):
        if not call.body["steps"]:
            return steps(step("nap", op="Sleep", name="2s"))
        if len(call.body["steps"]) == 1:
            await raw.send("stop")
            return steps(step("after", data=1))
        return done("end")

    raw.answer = answer
    async with raw.running(cancel=[{"event": raw.event("stop"), "timeout": "1s"}]):
        run = await raw.run_of(await raw.send())
    assert (run["status"], run["output"]) == ("Completed", "end")


async def test_an_invocation_that_takes_too_long_raises(play):
    @play.function("child", trigger="unused")
    async def child(ctx):
        await ctx.step.sleep("long", HOUR)

    @play.function()
    async def run(ctx):
        try:
            await ctx.step.invoke("child", function=child, timeout=datetime.timedelta(seconds=1))
        except inngest.StepError as error:
            play.log.append((error.name, error.message))

    async with play.running():
        await play.send()
        await play.until_logged(
            ("InngestInvokeTimeoutError", "Timed out waiting for invoked function to complete")
        )


async def test_a_function_that_is_not_there_can_not_be_invoked(play):
    @play.function(retries=0)
    async def run(ctx):
        try:
            await ctx.step.invoke_by_id("child", app_id=play.name, function_id="none")
        except inngest.StepError as error:
            play.log.append(type(error).__name__)

    async with play.running():
        await play.send()
        await play.until_logged("StepError")


async def test_one_event_starts_every_function_that_it_triggers(play, until):
    for name in ("one", "two", "three"):

        @play.function(name)
        async def run(ctx, name=name):
            play.log.append(name)

    async with play.running():
        await play.send()
        await until(lambda: sorted(play.log) == ["one", "three", "two"])


async def test_a_function_that_is_registered_no_longer_starts_no_runs(raw):
    raw.answer = lambda call: done()
    async with raw.running():
        await raw.run_of(await raw.send())
        answer = await raw.register(raw.url, id=f"{raw.name}-other", triggers=[{"event": raw.event("other")}])
        assert answer.json()["ok"] is True
        await raw.send()
        await raw.run_of(await raw.send("other"))
    assert len(raw.calls) == 2


async def test_a_run_goes_on_with_the_function_as_it_was_registered_last(raw):
    def answer(call):
        if not call.body["steps"]:
            return steps(step("nap", op="Sleep") | {"opts": {"duration": "1s"}})
        return error() if call.body["ctx"]["attempt"] == 0 else done("end")

    raw.answer = answer
    async with raw.running(retries=0):
        event_id = await raw.send()
        assert (await raw.register(raw.url, retries=1)).status_code == 200
        run = await raw.run_of(event_id, seconds=60)
    assert run["output"] == "end"
    assert raw.calls[-1].body["steps"] == {step_id("nap"): None}
