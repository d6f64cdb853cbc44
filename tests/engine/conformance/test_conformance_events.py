"""Events, waits, cancellation and repetition, as any Inngest server must treat them."""

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


async def until_waiting(play, look, until, count=1):
    """Waits until the server has kept the waits of so many runs."""
    await until(lambda: len({call["ctx"]["run_id"] for _, call, _ in play.calls}) >= count)
    await look.until_waiting(*{call["ctx"]["run_id"] for _, call, _ in play.calls})


async def until_settled(play, data):
    """Waits until a run that was started after all others has been called: what is one too many was, too."""
    await play.send(data=data)
    await play.until_logged("settled")


async def test_a_wait_ends_with_the_event_that_matches(play, look, until):
    waiting(play)
    async with play.running():
        await play.send(data={"case": "a"})
        await play.send(data={"case": "b"})
        await until_waiting(play, look, until, 2)
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
async def test_a_wait_reads_its_expression(play, look, until, expression):
    waiting(play, expression=expression)
    async with play.running():
        await play.send(data={"case": "a"})
        await until_waiting(play, look, until)
        await play.send("decided", {"case": "b", "decision": "maybe"})
        await play.send("decided", {"case": "a", "decision": "yes", "nested": {"case": "none"}})
        await play.until_logged(("got", "a", "yes"))


async def test_a_wait_that_has_ended_does_not_end_again(play, look, until):
    """The second event that matches finds no wait; `second` says when it has been handled."""
    waiting(play)

    @play.function("second", trigger="decided")
    async def follow(ctx):
        play.log.append(("heard", ctx.event.data["decision"]))

    async with play.running():
        await play.send(data={"case": "a"})
        await until_waiting(play, look, until)
        await play.send("decided", {"case": "a", "decision": "first"})
        await play.until_logged(("got", "a", "first"))
        await play.send("decided", {"case": "a", "decision": "second"})
        await play.until_logged(("heard", "second"))
    assert [entry for entry in play.log if entry[0] == "got"] == [("got", "a", "first")]


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
        play.log.append(ctx.event.data.get("last") or ctx.event.id)

    async with play.running():
        ids = [await play.send(id=f"{play.name}-1") for _ in range(2)]
        await play.until_logged(f"{play.name}-1")
        await until_settled(play, {"last": "settled"})
    assert ids[0] != ids[1]
    assert sorted(play.log) == [f"{play.name}-1", "settled"]


async def test_a_send_that_is_repeated_yields_the_same_ids_and_no_second_run(play, until):
    @play.function()
    async def run(ctx):
        play.log.append(ctx.event.data["n"])

    async with play.running(), httpx.AsyncClient(timeout=60) as http:
        seed = f"{int(time.time() * 1000)},AAECAwQFBgcICQ=="
        url = f"{play.base_url}/e/{play.client.event_key or 'dev'}"
        events = [{"name": play.event("go"), "data": {"n": n}} for n in range(2)]
        answers = [
            await http.post(url, json=events, headers={"x-inngest-event-id-seed": seed}) for _ in range(2)
        ]
        await until(lambda: {0, 1} <= set(play.log))
        await until_settled(play, {"n": "settled"})
    assert answers[0].json()["ids"] == answers[1].json()["ids"]
    assert len(set(answers[0].json()["ids"])) == 2
    assert sorted(map(str, play.log)) == ["0", "1", "settled"]


async def test_a_trigger_expression_chooses_the_events(play, until):
    trigger = inngest.TriggerEvent(event=play.event("go"), expression="event.data.risk > 0.5")

    @play.function(trigger=trigger)
    async def run(ctx):
        play.log.append(ctx.event.data.get("last") or ctx.event.data["risk"])

    async with play.running():
        for risk in (0.1, 1, 0.5, 0.9):
            await play.send(data={"risk": risk})
        await until(lambda: {0.9, 1} <= set(play.log))
        await until_settled(play, {"risk": 2, "last": "settled"})
    assert sorted(play.log[:-1]) == [0.9, 1]


@pytest.mark.parametrize(
    ("first", "same"),
    [("a", "a"), (1, "1"), ("2", 2), (True, "true"), ("false", False), (1.0, 1), (0.5, "0.5")],
)
async def test_idempotency_lets_one_event_per_key_through(play, first, same):
    """Keys are compared as texts: 1 is "1", and true is "true"."""

    @play.function(idempotency="event.data.key")
    async def run(ctx):
        play.log.append(ctx.event.data["n"])

    async with play.running():
        await play.send(data={"key": first, "n": 1})
        await play.until_logged(1)
        await play.send(data={"key": same, "n": 2})
        await until_settled(play, {"key": play.name + "b", "n": "settled"})
    assert play.log == [1, "settled"]


@pytest.mark.parametrize("data", [{}, {"key": None}], ids=["missing", "null"])
async def test_without_an_idempotency_key_every_event_runs(play, until, data):
    @play.function(idempotency="event.data.key")
    async def run(ctx):
        play.log.append(ctx.event.data["n"])

    async with play.running():
        for n in range(2):
            await play.send(data={**data, "n": n})
        await until(lambda: sorted(play.log) == [0, 1])


async def test_a_cancel_event_ends_the_run_that_it_matches(play, look, until):
    @play.function(cancel=[inngest.Cancel(event=play.event("stop"), if_exp=MATCH)])
    async def run(ctx):
        await ctx.step.run("before", play.step(("before", ctx.event.data["case"])))
        await ctx.step.wait_for_event("wait", event=play.event("decided"), timeout=HOUR)
        play.log.append(("end", ctx.event.data["case"]))

    async with play.running():
        cancelled = await play.send(data={"case": "a"})
        await play.send(data={"case": "b"})
        await until_waiting(play, look, until, 2)
        await play.send("stop", {"case": "a"})
        assert (await look.run_of(cancelled))["status"] == "Cancelled"
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
    async with httpx.AsyncClient(timeout=60) as http:
        answer = await http.post(f"{url}/e/{keys.event_key if keys else 'dev'}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_a_wrong_event_key_is_refused(inngest_server):
    url, keys = inngest_server
    if keys is None:
        pytest.skip("a server without keys takes any")
    async with httpx.AsyncClient(timeout=60) as http:
        answer = await http.post(f"{url}/e/wrong-key", json={"name": "a", "data": {}})
    assert answer.status_code == 401
