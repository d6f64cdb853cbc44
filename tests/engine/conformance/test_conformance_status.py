"""Runs are looked up as with Inngest's server: in REST, and with the queries of the SDK's own tests."""

import datetime
import json

import httpx
import pytest
from raw_app import done, error, skip_without_graphql, step, step_id, steps

RUNS_OF_EVENT = "query($id: ID!) { event(query: {eventId: $id}) { functionRuns { id } } }"
RUN = "query($id: String!) { run(runID: $id) { output status } runTrigger(runID: $id) { payloads } }"
OUTPUT = "query($id: String!) { runTraceSpanOutputByID(outputID: $id) { data error { message name stack } } }"


async def run_with_output(raw, run_id):
    """Returns what GraphQL tells of a run, once its output is there; a server may write it a little later."""
    asked = await raw.query(RUN, id=run_id)
    return asked if asked["run"] and asked["run"]["output"] else None


async def test_a_run_is_found_by_its_event_with_output_and_trigger(raw):
    raw.answer = lambda call: done({"n": 1})
    async with raw.running():
        event_id = await raw.send(data={"of": "mine"})
        await raw.run_of(event_id)
        [found] = (await raw.query(RUNS_OF_EVENT, id=event_id))["event"]["functionRuns"]
        asked = await raw.poll(lambda: run_with_output(raw, found["id"]))
    assert asked["run"]["status"] == "COMPLETED"
    assert json.loads(asked["run"]["output"]) == {"n": 1}
    [payload] = asked["runTrigger"]["payloads"]
    assert json.loads(payload)["data"] == {"of": "mine"}


async def test_what_steps_gave_is_found_by_their_names(raw):
    raw.answer = lambda call: done() if call.body["steps"] else steps(step("a", data=[{"x": None}]))
    async with raw.running():
        run = await raw.run_of(await raw.send())
        span = await raw.poll(lambda: raw.span_of(run["run_id"], status="COMPLETED", name="a"))
        found = (await raw.query(OUTPUT, id=span["outputID"]))["runTraceSpanOutputByID"]
    assert (json.loads(found["data"]), found["error"]) == ([{"x": None}], None)


async def test_a_step_that_has_failed_is_found_with_its_error(raw, differs):
    differs("a step that an answer says has failed, in GraphQL")
    failure = {"name": "ValueError", "message": "boom", "stack": "at b"}
    failed = steps(step("b", op="StepFailed", error=failure))
    raw.answer = lambda call: done() if call.body["steps"] else failed
    async with raw.running():
        run = await raw.run_of(await raw.send())
        span = await raw.span_of(run["run_id"], status="FAILED", name="b")
        found = (await raw.query(OUTPUT, id=span["outputID"]))["runTraceSpanOutputByID"]
    assert found == {"data": None, "error": failure}


async def test_steps_that_wait_and_runs_that_failed_are_seen(raw):
    def answer(call):
        if call.body["event"]["data"]["n"] == 0:
            return error("never again", **{"x-inngest-no-retry": "true"})
        wait = {"name": raw.event("never"), "opts": {"timeout": "1h"}}
        return steps(step("sarah", op="WaitForEvent") | wait)

    raw.answer = answer
    async with raw.running():
        failed, waiting = [await raw.send(data={"n": n}) for n in range(2)]
        run = await raw.run_of(failed)
        asked = (await raw.poll(lambda: run_with_output(raw, run["run_id"])))["run"]
        assert asked["status"] == "FAILED"
        assert json.loads(asked["output"])["message"] == "never again"
        seen = await raw.run_of(waiting, has_ended=False)
        span = await raw.poll(lambda: raw.span_of(seen["run_id"], status="WAITING", name="sarah"))
        await raw.http.delete(f"/v1/runs/{seen['run_id']}")
    assert span


async def test_rest_tells_of_events_and_runs(raw):
    raw.answer = lambda call: done({"n": 1})
    async with raw.running():
        event_id = await raw.send(data={"of": "mine"}, id=f"{raw.name}-1")
        run = await raw.run_of(event_id)
        event = (await raw.http.get(f"/v1/events/{event_id}")).json()["data"]
        listed = (await raw.http.get("/v1/events", params={"name": raw.event("go")})).json()["data"]
        same = (await raw.http.get(f"/v1/runs/{run['run_id']}")).json()["data"]
    assert event["internal_id"] == event_id
    assert (event["id"], event["name"]) == (f"{raw.name}-1", raw.event("go"))
    assert event["data"] == {"of": "mine"}
    assert [found["internal_id"] for found in listed] == [event_id]
    assert datetime.datetime.fromisoformat(event["received_at"].replace("Z", "+00:00")).tzinfo
    assert (same["run_id"], same["event_id"]) == (run["run_id"], event_id)
    assert (same["status"], same["output"]) == ("Completed", {"n": 1})
    assert same["run_started_at"] <= same["ended_at"]
    assert same["function_id"]


async def test_a_run_is_cancelled_by_hand(raw, is_ours):
    wait = {"name": raw.event("never"), "opts": {"timeout": "1h"}}
    raw.answer = lambda call: steps(step("wait", op="WaitForEvent") | wait)
    async with raw.running():
        event_id = await raw.send()
        run_id = (await raw.run_of(event_id, has_ended=False))["run_id"]
        await raw.until_waiting(run_id)
        run = await raw.run_of(event_id, has_ended=False)
        assert (run["status"], run["ended_at"]) == ("Running", None)
        answer = await raw.http.delete(f"/v1/runs/{run_id}")
        if not is_ours and answer.status_code == 404:
            pytest.skip("Inngest's server on PostgreSQL cancels no run")
        assert answer.is_success
        assert (await raw.run_of(event_id))["status"] == "Cancelled"
        assert await raw.poll(lambda: is_cancelled(raw, run_id))


async def is_cancelled(raw, run_id):
    """Tells whether GraphQL shows the run as cancelled."""
    return (await raw.query(RUN, id=run_id))["run"]["status"] == "CANCELLED"


async def test_what_is_not_there_is_nothing(raw, differs):
    differs("GraphQL")
    nothing = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    async with raw.running():
        assert (await raw.query(RUNS_OF_EVENT, id=nothing))["event"] is None
        assert (await raw.query(RUN, id=nothing))["run"] is None
        assert (await raw.http.get(f"/v1/events/{nothing}")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"query":7}',
        b'{"query":"{ nothing }"}',
        b'{"query":"{ run }"}',
        b'{"query":"{"}',
        b'{"query":"{ __typename }","operationName":{}}',
        b'{"query":"{ __typename }","variables":7}',
    ],
    ids=lambda body: body.decode(),
)
async def test_a_query_that_makes_no_sense_is_refused(raw, body):
    async with raw.running():
        answer = await raw.http.post("/v0/gql", content=body, headers={"content-type": "application/json"})
    skip_without_graphql(answer)
    assert 400 <= answer.status_code < 500
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/events"),
        ("GET", "/v1/events/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("GET", "/v1/events/01ARZ3NDEKTSV4RRFFQ69G5FAV/runs"),
        ("GET", "/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("DELETE", "/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("GET", "/v0/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/batch"),
        ("GET", "/v0/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/actions"),
        ("POST", "/fn/register"),
    ],
)
async def test_a_stranger_learns_and_changes_nothing(inngest_server, method, path):
    url, keys = inngest_server
    if keys is None:
        pytest.skip("a server without keys knows no strangers")
    headers = [{}, {"authorization": f"Bearer {'0' * 64}"}, {"authorization": f"Bearer {keys.event_key}"}]
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        answers = [await http.request(method, path, json={}, headers=header) for header in headers]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert all("Authentication failed" in answer.text for answer in answers)


async def test_a_stranger_may_not_ask_in_graphql(inngest_server, differs):
    differs("GraphQL where keys are set")
    await test_a_stranger_learns_and_changes_nothing(inngest_server, "POST", "/v0/gql")


async def test_a_server_without_keys_says_so_where_sdks_look(open_server):
    async with httpx.AsyncClient(base_url=open_server, timeout=60) as http:
        found = await http.get("/dev")
        health = await http.get("/health")
    assert found.status_code == 200
    assert isinstance(found.json()["functions"], list)
    assert found.headers["x-inngest-server-kind"] == "dev"
    assert (health.json()["status"], health.json()["message"]) == (200, "OK")


async def test_a_server_with_keys_is_no_dev_server(inngest_server):
    url, keys = inngest_server
    if keys is None:
        pytest.skip("this server has no keys")
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        found = await http.get("/dev")
    assert found.status_code in (401, 404)


async def test_a_large_state_is_fetched_from_two_addresses(raw):
    """An app fetches it during the call that names them; Inngest's server has it no longer than that."""
    fetched = []

    async def answer(call):
        count = len(call.body["steps"])
        if not call.body["use_api"]:
            return steps(step(f"{count}", data=f"{count}" * 1_500_000))
        fetched.extend(await state_of(raw, call.body["ctx"]["run_id"]))
        return done()

    raw.answer = answer
    async with raw.running():
        run = await raw.run_of(await raw.send(data={"of": "mine"}))
    last = raw.calls[-1].body
    assert run["status"] == "Completed"
    assert (last["use_api"], last["ctx"]["use_api"], last["steps"]) == (True, True, {})
    [batch, actions] = [answer.json() for answer in fetched]
    assert [without_user(event) for event in batch] == [without_user(last["event"])]
    assert {key: memo["data"][0] for key, memo in actions.items()} == {step_id(n): n for n in "012"}


async def state_of(raw, run_id):
    """Returns the answers of the two addresses of a state."""
    return [await raw.http.get(f"/v0/runs/{run_id}/{part}") for part in ("batch", "actions")]


def without_user(event):
    """Returns an event without its user, which servers may leave out where it is empty."""
    return {key: value for key, value in event.items() if key != "user"}


async def test_the_state_of_a_run_that_has_ended_is_kept(raw, differs):
    differs("state of a run that has ended")
    async with raw.running():
        run = await raw.run_of(await raw.send(data={"of": "mine"}))
        answers = await state_of(raw, run["run_id"])
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == [raw.calls[0].body["event"]]
