"""Steps, retries and sleeps, as any Inngest server must run them; knows only a URL and the keys."""

import datetime

import inngest


async def test_a_step_runs_once_however_often_the_function_is_replayed(play):
    @play.function()
    async def run(ctx):
        first = await ctx.step.run("first", play.step({"n": 1}, note="first"))
        second = await ctx.step.run("second", play.step([first["n"] + 1], note="second"))
        play.log.append(("end", first, second))

    async with play.running():
        await play.send()
        await play.until_logged(("end", {"n": 1}, [2]))
    assert play.log == ["first", "second", ("end", {"n": 1}, [2])]


async def test_steps_that_share_an_id_keep_their_own_results(play):
    @play.function()
    async def run(ctx):
        results = [await ctx.step.run("same", play.step(n)) for n in range(3)]
        play.log.append(("end", results))

    async with play.running():
        await play.send()
        await play.until_logged(("end", [0, 1, 2]))


async def test_results_survive_exactly(play):
    value = {"text": "Grüße ✓ \U0001f600", "float": 0.1, "null": None, "list": [True, {}], "int": 2**53 - 1}

    @play.function()
    async def run(ctx):
        result = await ctx.step.run("odd", play.step(value, note="ran"))
        play.log.append(("end", result == value, ctx.event.data == value))

    async with play.running():
        await play.send(data=value)
        await play.until_logged(("end", True, True))


async def test_attempts_are_counted_for_each_step_by_itself(play):
    @play.function(retries=2)
    async def run(ctx):
        async def flaky():
            play.log.append(("flaky", ctx.attempt))
            if ctx.attempt == 0:
                raise RuntimeError("not yet")
            return "done"

        await ctx.step.run("flaky", flaky)
        play.log.append(("after", ctx.attempt))
        if ctx.attempt == 0:
            raise RuntimeError("once more")
        play.log.append("end")

    async with play.running():
        await play.send()
        await play.until_logged("end", seconds=100)
    assert play.log == [("flaky", 0), ("flaky", 1), ("after", 0), ("after", 1), "end"]


async def test_a_step_that_used_its_attempts_raises_an_error_that_the_function_can_catch(play):
    @play.function(retries=0)
    async def run(ctx):
        async def fail():
            raise ValueError("boom")

        try:
            await ctx.step.run("fail", fail)
        except inngest.StepError as error:
            play.log.append((error.name, error.message))
        await ctx.step.run("go on", play.step("went on"))

    async with play.running():
        await play.send()
        await play.until_logged("went on")
    assert ("ValueError", "boom") in play.log


async def test_an_uncaught_error_reaches_on_failure_with_its_event(play):
    async def note_failure(ctx):
        play.log.append((ctx.event.data["error"]["message"], ctx.event.data["event"]["data"]))

    @play.function(retries=0, on_failure=note_failure)
    async def run(ctx):
        raise ValueError("boom")

    async with play.running():
        await play.send(data={"of": "mine"})
        await play.until_logged(("boom", {"of": "mine"}))


async def test_a_non_retriable_error_ends_the_run_at_once(play):
    async def note_failure(ctx):
        play.log.append("failed")

    @play.function(retries=5, on_failure=note_failure)
    async def run(ctx):
        play.log.append("called")
        raise inngest.NonRetriableError("never again")

    async with play.running():
        await play.send()
        await play.until_logged("failed")
    assert play.log == ["called", "failed"]


async def test_a_function_says_when_it_wants_to_be_retried(play):
    @play.function(retries=1)
    async def run(ctx):
        play.log.append(ctx.attempt)
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("later", datetime.timedelta(milliseconds=300))

    async with play.running():
        await play.send()
        await play.until_logged(1)


async def test_parallel_steps_all_run_and_keep_their_order(play):
    @play.function()
    async def run(ctx):
        results = await ctx.group.parallel(
            tuple(lambda n=n: ctx.step.run(f"step {n}", play.step(n)) for n in range(5))
        )
        after = await ctx.step.run("after", play.step("after"))
        play.log.append(("end", results, after))

    async with play.running():
        await play.send()
        await play.until_logged(("end", (0, 1, 2, 3, 4), "after"))
    assert sorted(play.log[:5]) == [0, 1, 2, 3, 4]
    assert play.log[5:] == ["after", ("end", (0, 1, 2, 3, 4), "after")]


async def test_a_parallel_step_is_retried_alone(play):
    @play.function(retries=1)
    async def run(ctx):
        async def flaky():
            play.log.append(("flaky", ctx.attempt))
            if ctx.attempt == 0:
                raise RuntimeError("not yet")

        await ctx.group.parallel(
            (
                lambda: ctx.step.run("steady", play.step("steady")),
                lambda: ctx.step.run("flaky", flaky),
            )
        )
        play.log.append("end")

    async with play.running():
        await play.send()
        await play.until_logged("end", seconds=60)
    assert sorted(map(str, play.log)) == ["('flaky', 0)", "('flaky', 1)", "end", "steady"]


async def test_sequences_race_each_other(play):
    @play.function()
    async def run(ctx):
        async def sequence(name):
            await ctx.step.run(f"{name}1", play.step(f"{name}1"))
            return await ctx.step.run(f"{name}2", play.step(f"{name}2"))

        results = await ctx.group.parallel(
            (lambda: sequence("a"), lambda: sequence("b")), parallel_mode=inngest.ParallelMode.RACE
        )
        play.log.append(results)

    async with play.running():
        await play.send()
        await play.until_logged(("a2", "b2"))
    assert set(play.log) == {("a2", "b2"), "a1", "a2", "b1", "b2"}  # two last calls may both reach the end


async def test_a_parallel_sleep_and_wait_end_before_the_function_goes_on(play):
    @play.function()
    async def run(ctx):
        results = await ctx.group.parallel(
            (
                lambda: ctx.step.run("step", play.step("step")),
                lambda: ctx.step.sleep("nap", 1000),
                lambda: ctx.step.wait_for_event("wait", event=play.event("never"), timeout=1000),
            )
        )
        play.log.append(results)

    async with play.running():
        await play.send()
        await play.until_logged(("step", None, None))


async def test_a_sleep_lasts_as_long_as_asked(play):
    @play.function()
    async def run(ctx):
        started = await ctx.step.run("start", lambda: datetime.datetime.now().timestamp())
        await ctx.step.sleep("nap", datetime.timedelta(seconds=1))
        play.log.append(datetime.datetime.now().timestamp() - started >= 0.5)

    async with play.running():
        await play.send()
        await play.until_logged(True)


async def test_a_state_too_large_for_a_call_is_fetched(play):
    @play.function()
    async def run(ctx):
        parts = [await ctx.step.run(f"part {n}", play.step(str(n) * 1_500_000, note=n)) for n in range(4)]
        play.log.append([len(part) for part in parts])

    async with play.running():
        await play.send()
        await play.until_logged([1_500_000] * 4)
    assert play.log[:4] == [0, 1, 2, 3]
    assert [call["use_api"] for _, call, _ in play.calls] == [False, False, False, True, True]
    assert play.calls[-1][1]["steps"] == {}


async def test_a_function_invokes_another_and_gets_its_result_or_its_error(play):
    @play.function("child", trigger="unused", retries=0)
    async def child(ctx):
        if ctx.event.data["n"] == 0:
            raise ValueError("zero")
        return {"doubled": ctx.event.data["n"] * 2}

    @play.function("parent")
    async def parent(ctx):
        play.log.append(await ctx.step.invoke("two", function=child, data={"n": 2}))
        try:
            await ctx.step.invoke("none", function=child, data={"n": 0})
        except inngest.StepError as error:
            play.log.append(error.message)

    async with play.running():
        await play.send()
        await play.until_logged("zero")
    assert {"doubled": 4} in play.log


async def test_a_function_can_be_synchronous(play):
    @play.function()
    def run(ctx):
        play.log.append(ctx.step.run("step", lambda: "sync"))

    async with play.running():
        await play.send()
        await play.until_logged("sync")
