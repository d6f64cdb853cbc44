"""Registration: what a server takes, what it refuses, and that a refusal changes nothing."""

import pytest
from raw_app import done

OPTIONS = {
    "batchEvents": {"maxSize": 3, "timeout": "2s"},
    "debounce": {"period": "1s"},
    "rateLimit": {"limit": 1, "period": "1m"},
    "throttle": {"limit": 1, "period": "1m"},
    "singleton": {"mode": "skip"},
    "priority": {"run": "event.data.p"},
    "timeouts": {"finish": "1h"},
}


async def test_a_registration_is_acknowledged_with_the_ids_of_sync_and_app(raw):
    async with raw.running():
        first, second = [
            (await raw.register(raw.url, cancel=[{"event": f"stop {n}"}])).json() for n in range(2)
        ]
    assert first["ok"] is second["ok"] is True
    assert first["app_id"] == second["app_id"]
    assert first["sync_id"] != second["sync_id"]


async def test_the_same_registration_again_modifies_nothing(raw):
    async with raw.running():
        again = (await raw.register(raw.url)).json()
    assert (again["ok"], again.get("modified", False)) == (True, False)


@pytest.mark.parametrize(
    "overrides",
    [
        {"triggers": [{"event": "a", "expression": "event.data.=="}]},
        {"cancel": [{"event": f"stop {n}"} for n in range(6)]},
        {"steps": {}},
    ],
    ids=["expression", "6 cancels", "no steps"],
)
async def test_an_invalid_configuration_is_refused_and_the_one_before_it_stays(raw, overrides):
    raw.answer = lambda call: done("as before")
    async with raw.running():
        answer = await raw.register(raw.url, **overrides)
        run = await raw.run_of(await raw.send())
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert run["output"] == "as before"


@pytest.mark.parametrize(
    "overrides", [{"triggers": []}, {"retries": 21}, {"retries": -1}], ids=["no trigger", "21 retries", "-1"]
)
async def test_a_function_that_could_not_run_as_it_says_is_refused(raw, differs, overrides):
    differs("a function without triggers, or more than 20 retries")
    await test_an_invalid_configuration_is_refused_and_the_one_before_it_stays(raw, overrides)


@pytest.mark.parametrize("option", OPTIONS)
async def test_an_option_that_the_engine_lacks_is_refused_by_its_name(raw, differs, option):
    differs("batchEvents, debounce, rateLimit, throttle, singleton")
    differs("priority, timeouts, cron triggers")
    async with raw.running():
        answer = await raw.register(raw.url, **{option: OPTIONS[option]})
    assert answer.status_code == 400
    assert option in answer.json()["error"]


@pytest.mark.parametrize(
    "overrides",
    [
        {"triggers": [{"cron": "0 0 * * *"}]},
        {"concurrency": [{"limit": 1, "scope": "env", "key": "'x'"}]},
        {"concurrency": [{"limit": 1}, {"limit": 2}]},
        {"steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "ws", "url": "ws://x"}}}},
    ],
    ids=["cron", "scope", "two limits", "connect"],
)
async def test_a_way_to_run_that_the_engine_lacks_is_refused(raw, differs, overrides):
    for row in ("priority, timeouts, cron triggers", "concurrency", "Connect, realtime, signals, `step.ai`"):
        differs(row)
    async with raw.running():
        answer = await raw.register(raw.url, **overrides)
    assert answer.status_code == 400
    assert f"{raw.name}-run" in answer.json()["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b'{"appname":"","functions":[]}', b'{"functions":[7]}']
)
async def test_what_is_no_registration_is_refused(raw, body):
    async with raw.running():
        answer = await raw.http.post("/fn/register", content=body)
        await raw.run_of(await raw.send())
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_an_app_without_functions_starts_no_runs(raw, make_raw, inngest_server, until):
    """Another app hears the event, too: by then the server has looked up whom it starts."""
    other = make_raw(*inngest_server)
    async with raw.running(), other.running(triggers=[{"event": raw.event("go")}]):
        answer = await raw.register(raw.url, functions=[])
        event_id = await raw.send()
        await until(lambda: other.calls)
        await raw.register(raw.url)
        await raw.send(data={"n": "last"})
        await until(lambda: raw.calls)
        runs = await raw.runs_of(event_id)
    assert answer.json()["ok"] is True
    assert len(runs) == 1  # of the other app
    assert [call.body["event"]["data"] for call in raw.calls] == [{"n": "last"}]


async def test_an_app_that_expects_another_kind_of_server_is_refused(raw):
    other = "dev" if raw.keys else "cloud"
    async with raw.running():
        answer = await raw.register(raw.url, headers={"x-inngest-expected-server-kind": other})
    assert answer.status_code == 400
    assert f"got {other}" in answer.json()["error"]
    assert answer.headers["x-inngest-server-kind"] != other
