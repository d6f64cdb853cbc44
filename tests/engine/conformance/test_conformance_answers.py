"""What a server makes of an app's answers, right and wrong; each app here speaks the protocol by itself."""

import asyncio
import datetime
import email.utils
import json
import time

import pytest
from raw_app import SDK, Reply, done, error, step, step_id, steps


def replay(raw, *answers, then=None):
    """Has the app give these answers in turn, and the last one for ever."""
    turns = iter(answers)

    def answer(call):
        return next(turns, then or done())

    raw.answer = answer


async def test_a_call_carries_the_run_the_event_and_the_attempts(raw):
    replay(raw, steps(step("a", data={"x": 1})))
    async with raw.running():
        event_id = await raw.send(data={"n": 1})
        run = await raw.run_of(event_id)
    first, second = raw.calls
    assert first.body["event"]["id"] == event_id
    assert first.body["event"]["data"] == {"n": 1}
    assert first.body["events"] == [first.body["event"]]
    assert first.body["steps"] == {}
    assert first.body["use_api"] is False
    assert first.body["ctx"]["attempt"] == 0
    assert first.body["ctx"]["max_attempts"] == 2
    assert first.body["ctx"]["run_id"] == first.headers["x-run-id"] == run["run_id"]
    assert second.body["steps"] == {step_id("a"): {"data": {"x": 1}}}
    assert second.body["ctx"]["stack"] == {"stack": [step_id("a")], "current": 1}
    assert first.headers["x-inngest-job-id"] != second.headers["x-inngest-job-id"]


async def test_a_call_is_signed_where_there_are_keys(raw):
    async with raw.running():
        await raw.run_of(await raw.send(data={"z": 1, "a": "Grüße", "f": 1e30, "g": 0.1}))
    [call] = raw.calls
    signature = call.headers.get("x-inngest-signature")
    if raw.keys is None:
        assert signature is None
    else:
        jcs = pytest.importorskip("jcs")
        assert raw.keys.is_signature(signature, jcs.canonicalize(json.loads(call.text)))
        assert abs(time.time() - int(signature.partition("&")[0].removeprefix("t="))) < 60


async def test_an_answer_without_our_signature_is_not_believed(raw, differs):
    differs("answers of an app when keys are set")
    if raw.keys is None:
        pytest.skip("without keys nothing is signed")
    other = {"x-inngest-signature": raw.keys.sign(b'"other"')}
    wrong = [
        Reply(200, "unsigned", SDK, is_signed=False),
        Reply(200, "forged", {**SDK, **other}, is_signed=False),
        Reply(200, "empty", {**SDK, "x-inngest-signature": ""}, is_signed=False),
    ]

    def answer(call):
        is_first = call.body["ctx"]["attempt"] == 0
        return wrong[call.body["event"]["data"]["n"]] if is_first else done("signed")

    raw.answer = answer
    async with raw.running():
        for event_id in [await raw.send(data={"n": n}) for n in range(len(wrong))]:
            assert (await raw.run_of(event_id))["output"] == "signed"


NONSENSE = [
    Reply(200, b"<html>Please sign in</html>", {"content-type": "text/html"}),
    Reply(200, {"ok": True}, {"content-type": "application/json"}),
    Reply(502, b"Bad Gateway"),
    Reply(302, b"", {"location": "/elsewhere"}),
    Reply(206, b'[{"op":"StepRun","id":"a', SDK),
    Reply(206, b"", SDK),
    Reply(206, b'"text"', SDK),
    Reply(206, [None], SDK),
    Reply(206, ["StepRun"], SDK),
    Reply(206, [{"op": "StepRun", "id": {"x": 1}}], SDK),
    Reply(201, b"   ", SDK),
    Reply(500, b"<html>crash</html>", SDK),
]


async def test_an_answer_that_makes_no_sense_counts_as_an_attempt(raw, retry_seconds):
    def answer(call):
        is_first = call.body["ctx"]["attempt"] == 0
        return NONSENSE[call.body["event"]["data"]["n"]] if is_first else done("recovered")

    raw.answer = answer
    async with raw.running():
        sent = [await raw.send(data={"n": n}) for n in range(len(NONSENSE))]
        for n, event_id in enumerate(sent):
            run = await raw.run_of(event_id, seconds=retry_seconds)
            assert run["output"] == "recovered", NONSENSE[n]
    assert len(raw.calls) == 2 * len(NONSENSE)


async def test_an_answer_that_never_makes_sense_ends_the_run(raw):
    replay(raw, then=Reply(206, b"[", SDK))
    async with raw.running(retries=0):
        run = await raw.run_of(await raw.send())
    assert run["status"] == "Failed"
    assert len(raw.calls) == 1


IMPOSSIBLE = [
    step("a", op="Unheard"),
    step("a", op="WaitForEvent") | {"opts": {"timeout": "soon"}},
    step("a", op="WaitForEvent") | {"opts": {"timeout": "9" * 400 + "w"}},
    step("a", op="WaitForEvent") | {"opts": {"timeout": "1h", "if": "async.data.=="}},
    step("a", op="WaitForEvent") | {"opts": {"timeout": "1h"}, "name": {"x": 1}, "displayName": "a"},
    step("a", op="WaitForEvent") | {"opts": "text"},
    step("a", op="Sleep") | {"name": "tomorrow"},
    step("a", op="InvokeFunction") | {"opts": {"function_id": {}, "payload": None}},
]


async def test_a_step_that_can_not_be_carried_out_ends_the_run_at_once(raw, differs):
    differs("a step that can't be carried out")
    raw.answer = lambda call: steps(IMPOSSIBLE[call.body["event"]["data"]["n"]])
    async with raw.running():
        sent = [await raw.send(data={"n": n}) for n in range(len(IMPOSSIBLE))]
        for n, event_id in enumerate(sent):
            run = await raw.run_of(event_id)
            assert (run["status"], bool(run["output"]["message"])) == ("Failed", True), IMPOSSIBLE[n]
    assert len(raw.calls) == len(IMPOSSIBLE)


async def test_one_opcode_need_not_be_in_a_list(raw):
    replay(raw, Reply(206, step("a", data=1), SDK))
    async with raw.running():
        await raw.run_of(await raw.send())
    assert raw.calls[1].body["steps"] == {step_id("a"): {"data": 1}}


async def test_a_sleep_may_say_how_long_it_lasts(raw):
    naps = [step("nap", op="Sleep") | how for how in ({"name": "1s"}, {"opts": {"duration": "1s"}})]

    def answer(call):
        return done() if call.body["steps"] else steps(naps[call.body["event"]["data"]["n"]])

    raw.answer = answer
    async with raw.running():
        started = time.monotonic()
        for event_id in [await raw.send(data={"n": n}) for n in range(len(naps))]:
            await raw.run_of(event_id)
    assert time.monotonic() - started > 0.5
    assert all(call.body["steps"] == {step_id("nap"): None} for call in raw.calls[2:])


async def test_a_function_may_end_with_an_opcode(raw):
    replay(raw, steps(step("a", data=1), step("end", op="RunComplete", data={"n": 1})))
    async with raw.running():
        run = await raw.run_of(await raw.send())
    assert (run["status"], len(raw.calls)) == ("Completed", 1)


async def test_a_streamed_answer_is_read(open_server, make_raw):
    raw = make_raw(open_server, None)
    inner = {"body": json.dumps([step("a", data=1)]), "headers": SDK, "status": 206}
    replay(raw, Reply(201, b"    " + json.dumps(inner).encode(), SDK))
    async with raw.running():
        await raw.run_of(await raw.send())
    assert raw.calls[1].body["steps"] == {step_id("a"): {"data": 1}}


async def test_a_function_is_retried_when_its_answer_says(raw):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    texts = ["3", email.utils.format_datetime(at, usegmt=True), at.isoformat().replace("+00:00", "Z")]
    times = [[] for _ in texts]

    def answer(call):
        n = call.body["event"]["data"]["n"]
        times[n].append(datetime.datetime.now(datetime.timezone.utc))
        return error(**{"retry-after": texts[n]}) if len(times[n]) == 1 else done()

    raw.answer = answer
    async with raw.running():
        for event_id in [await raw.send(data={"n": n}) for n in range(len(texts))]:
            await raw.run_of(event_id, seconds=40)
    (first, after_seconds), (_, after_date), (_, after_instant) = times
    assert after_seconds - first > datetime.timedelta(seconds=1.5)  # else it comes after 1.2 seconds
    assert after_date > at - datetime.timedelta(seconds=1.5)  # an HTTP date has no fractions
    assert after_instant > at - datetime.timedelta(seconds=0.5)


async def test_a_retry_that_was_due_long_ago_is_due_now(raw):
    replay(raw, error(**{"retry-after": "1960-01-01T00:00:00Z"}))
    async with raw.running():
        await raw.run_of(await raw.send(), seconds=40)
    assert [call.body["ctx"]["attempt"] for call in raw.calls] == [0, 1]
    first, second = (call.headers for call in raw.calls)
    assert first["x-inngest-job-id"] == second["x-inngest-job-id"]
    assert first["x-request-id"] != second["x-request-id"]


async def test_no_retry_ends_the_run_at_once(raw):
    replay(raw, error("never again", **{"x-inngest-no-retry": "true"}))
    async with raw.running():
        run = await raw.run_of(await raw.send())
    assert (run["status"], len(raw.calls)) == ("Failed", 1)
    assert run["output"]["message"] == "never again"


@pytest.mark.parametrize(
    ("op", "header"), [("StepFailed", {}), ("StepError", {"x-inngest-no-retry": "true"})]
)
async def test_a_failed_step_is_kept_and_the_function_goes_on(raw, op, header):
    failure = {"name": "ValueError", "message": "boom", "stack": "at a"}
    replay(raw, steps(step("a", op=op, error=failure), **header), then=done("caught"))
    async with raw.running():
        run = await raw.run_of(await raw.send())
    memo = raw.calls[1].body["steps"][step_id("a")]["error"]
    assert {key: memo[key] for key in failure} == failure
    assert raw.calls[1].body["ctx"]["attempt"] == 0
    assert run["output"] == "caught"


async def test_the_first_result_of_a_step_counts(raw):
    twice = steps(step("a", data="second"), step("b", data="b"))
    replay(raw, steps(step("a", data="first")), twice)
    async with raw.running():
        await raw.run_of(await raw.send())
    memos = raw.calls[2].body["steps"]
    assert memos == {step_id("a"): {"data": "first"}, step_id("b"): {"data": "b"}}


async def test_planned_steps_are_called_one_by_one_and_then_the_function_again(raw):
    planned = [step(name, op="StepPlanned") for name in "ab"]

    def answer(call):
        if call.step_id == "step":
            return steps(*planned) if not call.body["steps"] else done("all")
        return steps(step("ab"[call.step_id == step_id("b")], data=1))

    raw.answer = answer
    async with raw.running():
        await raw.run_of(await raw.send())
    assert sorted(call.step_id for call in raw.calls[1:3]) == sorted([step_id("a"), step_id("b")])
    assert all(call.body["ctx"]["disable_immediate_execution"] for call in raw.calls[1:3])
    assert [call.step_id for call in raw.calls[3:]] == ["step"]
    assert set(raw.calls[3].body["steps"]) == {step_id("a"), step_id("b")}


async def test_in_a_race_the_function_is_called_again_after_each_step(raw):
    """SDKs say that it is a race when they plan a step, and again when it has ended."""
    race = {"opts": {"parallelMode": "race"}}
    may_end = asyncio.Event()

    async def answer(call):
        if call.step_id == step_id("slow"):
            await may_end.wait()
            return steps(step("slow", data=1) | race)
        if call.step_id == step_id("quick"):
            return steps(step("quick", data=1) | race)
        if not call.body["steps"]:
            return steps(*[step(name, op="StepPlanned") | race for name in ("quick", "slow")])
        may_end.set()
        return done("won")

    raw.answer = answer
    async with raw.running():
        run = await raw.run_of(await raw.send())
    assert run["output"] == "won"


async def test_an_invocation_is_an_event_of_the_servers_own(raw):
    options = {"function_id": f"{raw.name}-run", "payload": {"data": {"n": 1}}}

    def answer(call):
        if call.body["event"]["name"] == "inngest/function.invoked":
            return done({"of": "the child"})
        return done() if call.body["steps"] else steps(step("child", op="InvokeFunction", opts=options))

    raw.answer = answer
    async with raw.running():
        await raw.run_of(await raw.send())
    child, last = (call.body for call in raw.calls[1:])
    assert (child["event"]["data"]["n"], "_inngest" in child["event"]["data"]) == (1, True)
    assert last["steps"] == {step_id("child"): {"data": {"of": "the child"}}}


async def test_a_wait_and_a_step_at_once_both_end(raw, until):
    wait = step("wait", op="WaitForEvent") | {"name": raw.event("decided"), "opts": {"timeout": "1h"}}
    go_on = asyncio.Event()

    async def answer(call):
        if call.step_id == step_id("a"):
            await go_on.wait()
            return steps(step("a", data=1))
        if not call.body["steps"]:
            return steps(wait, step("a", op="StepPlanned"))
        return done([*call.body["steps"]])

    raw.answer = answer
    async with raw.running():
        event_id = await raw.send()
        await until(lambda: len(raw.calls) == 2)
        await raw.send("decided", {"n": 1})
        go_on.set()
        run = await raw.run_of(event_id)
    assert set(run["output"]) == {step_id("a"), step_id("wait")}
    assert raw.calls[-1].body["steps"][step_id("wait")]["data"] == {"n": 1}
