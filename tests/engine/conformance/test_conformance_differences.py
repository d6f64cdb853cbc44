"""Where our server differs on purpose: each case names its row of the table in `atlas/engine/__init__.py`."""

import datetime
import time

from raw_app import done, error, step, steps

HOUR = datetime.timedelta(hours=1)


async def test_a_first_retry_comes_soon(raw, differs):
    differs("wait before a retry")
    times = []

    def answer(call):
        times.append(time.monotonic())
        return error() if len(times) < 2 else done()

    raw.answer = answer
    async with raw.running():
        await raw.run_of(await raw.send())
    assert 0.9 < times[1] - times[0] < 5


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
            await raw.http.delete("/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ]
    assert [answer.status_code for answer in answers] == [404] * 3
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
