"""Events, waits, cancellation and repetition, as any Inngest server must treat them."""

import asyncio
import datetime
import time

import httpx
import inngest
import pytest

HOUR = datetime.timedelta(hours=1)
MATCH = "async.data.case == event.data.case"


def waiting(play, *, expression=MATCH, timeout=HOUR):
    """Adds a function that says that it will wait, waits for `decided`, and logs what it got."""

    @play.function()
    async def run(ctx):
        await ctx.step.run("before", play.step(("before", ctx.event.data.get("case"))))
        found = await ctx.step.wait_for_event(
            "wait", event=play.event("decided"), if_exp=expression, timeout=timeout
        )
        play.log.append(("got", ctx.event.data.get("case"), found and found.data.get("decision")))


async def until_waiting(play, until, count=1):
    """Waits until runs have answered with their wait; the server has it once their call has ended."""
    await until(lambda: len([entry for entry in play.log if entry[0] == "before"]) >= count)
    await until(lambda: len(play.calls) >= 2 * count)
    await asyncio.sleep(0.5)  # nothing an app can see tells that a server has kept a wait


async def test_a_wait_ends_with_the_event_that_matches(play, until):
    waiting(play)
    async with play.running():
        await play.send(data={"case": "a"})
        await play.send(data={"case": "b"})
        await until_waiting(play, until, 2)
        await play.send("decided", {"case": "c", "decision": "other"})
        await play.send("decided", {"case": "b", "decision": "yes"})
        await play.until_logged(("got", "b", "yes"))
        await play.send("decided", {"case": "a", "decision": "no"})
        await play.until_logged(("got", "a", "no"))
    assert len([entry for entry in play.log if entry[0] == "got"]) == 2


@pytest.mark.parametrize(
    "expression",
    [
        "event.data.case == async.data.case",  # the other way round
        "async.data.case == event.data.case && async.data.decision != 'maybe'",  # with a rest
        "async.data.decision == 'yes'",  # with a literal
        "async.data.decision in ['yes', 'no'] && async.data.case == event.data.case",
        "async.data.nested.case == event.data.case || async.data.case == event.data.case",
    ],
)
async def test_a_wait_reads_its_expression(play, until, expression):
    waiting(play, expression=expression)
    async with play.running():
        await play.send(data={"case": "a"})
        await until_waiting(play, until)
        await play.send("decided", {"case": "b", "decision": "maybe"})
        await play.send("decided", {"case": "a", "decision": "yes", "nested": {"case": "none"}})
        await play.until_logged(("got", "a", "yes"))


async def test_the_first_of_two_matching_events_counts(play, until):
    waiting(play)
    async with play.running():
        await play.send(data={"case": "a"})
        await until_waiting(play, until)
        await play.send("decided", {"case": "a", "decision": "first"})
        await play.send("decided", {"case": "a", "decision": "second"})
        await until(lambda: play.log[-1][0] == "got")
    assert play.log[-1] == ("got", "a", "first")


async def test_an_event_that_came_before_the_wait_does_not_end_it(play, until):
    waiting(play, timeout=datetime.timedelta(seconds=1))
    async with play.running():
        events = [
            inngest.Event(name=play.event("go"), data={"case": "a"}),
            inngest.Event(name=play.event("decided"), data={"case": "a", "decision": "early"}),
        ]
        await play.client.send(events)
        await until(lambda: play.log and play.log[-1][0] == "got")
    assert play.log[-1] == ("got", "a", None)


async def test_a_wait_times_out_with_nothing(play):
    waiting(play, timeout=datetime.timedelta(seconds=1))
    async with play.running():
        await play.send(data={"case": "a"})
        await play.until_logged(("got", "a", None))


async def test_the_same_event_id_starts_a_function_once(play):
    @play.function()
    async def run(ctx):
        play.log.append(ctx.event.id)

    async with play.running():
        ids = [await play.send(id=f"{play.name}-1") for _ in range(2)]
        await play.send(id=f"{play.name}-2")
        await play.until_logged(f"{play.name}-2")
    assert ids[0] != ids[1]
    assert sorted(play.log) == [f"{play.name}-1", f"{play.name}-2"]


async def test_a_send_that_is_repeated_yields_the_same_ids_and_no_second_run(play):
    @play.function()
    async def run(ctx):
        play.log.append(ctx.event.data["n"])

    async with play.running(), httpx.AsyncClient() as http:
        seed = f"{int(time.time() * 1000)},AAECAwQFBgcICQ=="
        url = f"{play.base_url}/e/{play.client.event_key or 'dev'}"
        events = [{"name": play.event("go"), "data": {"n": n}} for n in range(2)]
        answers = [
            await http.post(url, json=events, headers={"x-inngest-event-id-seed": seed}) for _ in range(2)
        ]
        await play.send(data={"n": "last"})
        await play.until_logged("last")
    assert answers[0].json()["ids"] == answers[1].json()["ids"]
    assert len(set(answers[0].json()["ids"])) == 2
    assert sorted(map(str, play.log)) == ["0", "1", "last"]


async def test_a_trigger_expression_chooses_the_events(play):
    trigger = inngest.TriggerEvent(event=play.event("go"), expression="event.data.risk > 0.5")

    @play.function(trigger=trigger)
    async def run(ctx):
        play.log.append(ctx.event.data["risk"])

    async with play.running():
        for risk in (0.1, 1, 0.5, 0.9):
            await play.send(data={"risk": risk})
        await play.until_logged(0.9)
    assert sorted(play.log) == [0.9, 1]


async def test_idempotency_lets_one_event_per_key_through(play):
    @play.function(idempotency="event.data.key")
    async def run(ctx):
        play.log.append((ctx.event.data["key"], ctx.event.data["n"]))

    async with play.running():
        await play.send(data={"key": play.name + "a", "n": 1})
        await play.send(data={"key": play.name + "a", "n": 2})
        await play.send(data={"key": play.name + "b", "n": 3})
        await play.until_logged((play.name + "b", 3))
    assert sorted(play.log) == [(play.name + "a", 1), (play.name + "b", 3)]


async def test_a_cancel_event_ends_the_run_that_it_matches(play, until):
    @play.function(cancel=[inngest.Cancel(event=play.event("stop"), if_exp=MATCH)])
    async def run(ctx):
        await ctx.step.run("before", play.step(("before", ctx.event.data["case"])))
        await ctx.step.wait_for_event("wait", event=play.event("decided"), timeout=HOUR)
        play.log.append(("end", ctx.event.data["case"]))

    async with play.running():
        await play.send(data={"case": "a"})
        await play.send(data={"case": "b"})
        await until_waiting(play, until, 2)
        await play.send("stop", {"case": "a"})
        await asyncio.sleep(0.5)  # a server may cancel after it has acknowledged
        await play.send("decided")
        await play.until_logged(("end", "b"))
    assert ("end", "a") not in play.log


async def test_a_step_sends_events_once(play):
    @play.function("sender")
    async def sender(ctx):
        event = inngest.Event(name=play.event("sent"), data={"from": "step"})
        ids = await ctx.step.send_event("send", event)
        play.log.append(("ids", len(ids)))

    @play.function("receiver", trigger="sent")
    async def receiver(ctx):
        play.log.append(ctx.event.data["from"])

    async with play.running():
        await play.send()
        await play.until_logged("step")
        await play.until_logged(("ids", 1))


async def test_an_event_of_the_future_waits_for_its_time(play):
    @play.function()
    async def run(ctx):
        play.log.append(time.time() * 1000 >= ctx.event.ts - 50)

    async with play.running():
        await play.send(ts=int(time.time() * 1000) + 1500)
        await play.until_logged(True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":""}',
        b'{"data":{}}',
        b'{"name":"inngest/function.failed","data":{}}',
        b'{"name":"a","data":"text"}',
        b'"text"',
        b"[1]",
        b"{",
    ],
)
async def test_a_malformed_event_is_refused(inngest_server, body):
    url, keys = inngest_server
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{url}/e/{keys.event_key if keys else 'dev'}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_a_wrong_event_key_is_refused(inngest_server):
    url, keys = inngest_server
    if keys is None:
        pytest.skip("a server without keys takes any")
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{url}/e/wrong-key", json={"name": "a", "data": {}})
    assert answer.status_code == 401
