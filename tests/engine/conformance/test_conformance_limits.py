"""How large things may be: events, requests, outputs, answers and states; past the limit is an error."""

import json

import pytest
from raw_app import done, step, steps, unlike_before

MIB = 2**20
TOO_MANY_STEPS = steps(*[step(f"{n}", data=0) for n in range(1001)])


@pytest.mark.parametrize("size", [200, 500_000])
async def test_an_event_of_up_to_512_kib_is_taken(raw, size):
    async with raw.running():
        run = await raw.run_of(await raw.send(data={"text": "x" * size}))
    assert run["status"] == "Completed"
    assert len(raw.calls[0].body["event"]["data"]["text"]) == size


async def test_an_event_over_512_kib_is_refused(raw, differs):
    differs("an event over 512 KiB")
    async with raw.running():
        answer = await raw.post({"name": raw.event("go"), "data": {"text": "x" * 524_288}})
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert answer.json()["error"]


async def test_an_event_of_more_than_3_mib_is_refused(raw):
    async with raw.running():
        answer = await raw.post({"name": raw.event("go"), "data": {"text": "x" * 3 * MIB}})
    assert answer.status_code == 400
    assert raw.calls == []


async def test_5000_events_are_taken_at_once_and_their_ids_are_in_their_order(raw):
    async with raw.running():
        answer = await raw.post([{"name": raw.event("many"), "data": {"n": n}} for n in range(5000)])
        ids = answer.json()["ids"]
        for n in (0, 17, 4999):
            event = await raw.poll(lambda n=n: kept_event(raw, ids[n]), seconds=30)
            assert event["data"] == {"n": n}
    assert len(set(ids)) == 5000


async def kept_event(raw, event_id):
    """Returns an event, if it can be read already."""
    return (await raw.http.get(f"/v1/events/{event_id}", params=unlike_before())).json().get("data")


async def test_5001_events_are_too_many(raw, differs):
    differs("one malformed event among others")
    async with raw.running():
        answer = await raw.post([{"name": raw.event("go")}] * 5001)
        await raw.run_of(await raw.send(data={"n": "last"}))
    assert answer.status_code == 400
    assert [call.body["event"]["data"] for call in raw.calls] == [{"n": "last"}]


@pytest.mark.parametrize(
    "answer",
    [
        steps(step("a", data="x" * (4 * MIB + 100))),
        done("x" * (8 * MIB + 100)),
        steps(*[step(f"{n}", data="x" * 3 * MIB) for n in range(3)]),
        TOO_MANY_STEPS,
    ],
    ids=["output of a step", "output of a function", "answer", "steps"],
)
async def test_a_run_that_grows_past_a_limit_fails(raw, answer):
    raw.answer = lambda call: answer
    async with raw.running(retries=0):
        run = await raw.run_of(await raw.send(), seconds=60)
    assert run["status"] == "Failed"
    assert run["output"]
    if answer is TOO_MANY_STEPS:
        assert "1000" in json.dumps(run["output"])


@pytest.mark.parametrize("size", [4 * MIB + 100, 7 * MIB])
async def test_an_output_of_a_function_may_be_as_large_as_an_answer(raw, size):
    """The limit of 4 MiB is for steps, whose outputs are sent again with each call."""
    raw.answer = lambda call: done("x" * size)
    async with raw.running(retries=0):
        run = await raw.run_of(await raw.send(), seconds=60)
    assert (run["status"], len(run["output"])) == ("Completed", size)


async def test_a_run_whose_state_grows_past_32_mib_fails(raw):
    def answer(call):
        count = int(call.body["ctx"]["stack"]["current"])
        return steps(step(f"{count}", data="x" * (4 * MIB - 100))) if count < 12 else done()

    raw.answer = answer
    async with raw.running(retries=0):
        run = await raw.run_of(await raw.send(), seconds=60)
    assert run["status"] == "Failed"
    assert len(raw.calls) == 9


async def test_a_run_of_many_steps_ends_well(raw):
    """One step after the other, as SDKs send them: each call has the memos of all before it."""

    def answer(call):
        count = len(call.body["steps"])
        return steps(step(f"{count}", data=count)) if count < 20 else done("end")

    raw.answer = answer
    async with raw.running(retries=0):
        run = await raw.run_of(await raw.send(), seconds=60)
    assert (run["status"], run["output"]) == ("Completed", "end")
    assert [len(call.body["steps"]) for call in raw.calls] == list(range(21))


async def test_many_steps_of_one_answer_are_kept_before_the_next_call(raw, differs):
    differs("many steps in one answer")
    raw.answer = lambda call: (
        done() if call.body["steps"] else steps(*[step(f"{n}", data=n) for n in range(999)])
    )
    async with raw.running(retries=0):
        run = await raw.run_of(await raw.send(), seconds=60)
    assert run["status"] == "Completed"
    assert len(raw.calls[1].body["steps"]) == 999
