"""Both sides prove their keys, and what does not fit is refused before it leaves a trace."""

import json
import stat

import httpx
import inngest
import pytest
from inngest._internal.net import sign_request

from atlas.engine import EngineError, EngineKeys
from atlas.engine.keys import sign


def note(lab):
    @lab.function()
    async def run(ctx):
        lab.log.append("called")


async def test_an_event_with_a_wrong_key_leaves_no_trace(signed_lab):
    note(signed_lab)
    async with signed_lab.running(), signed_lab.http() as http:
        answer = await http.post("/e/wrong-key", json={"name": signed_lab.event("go")})
        assert (answer.status_code, answer.json()["error"]) == (401, "Event key not found")
        assert signed_lab.rows("SELECT 1 FROM events") == []


@pytest.mark.parametrize("authorization", [None, "Bearer ", "Bearer " + "0" * 64, "ä"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/fn/register"),
        ("GET", "/v0/runs/x/batch"),
        ("GET", "/v0/runs/x/actions"),
        ("GET", "/v1/events"),
        ("GET", "/v1/runs/x"),
        ("DELETE", "/v1/runs/x"),
    ],
)
async def test_without_the_signing_key_the_engine_tells_and_changes_nothing(
    signed_lab, authorization, method, path
):
    note(signed_lab)
    headers = {"authorization": authorization.encode("latin-1")} if authorization else {}
    async with signed_lab.running(), signed_lab.http() as http:
        before = signed_lab.rows("SELECT * FROM functions")
        answer = await http.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert signed_lab.rows("SELECT * FROM functions") == before


@pytest.mark.parametrize("limit", ["1", "0" * 5000 + "1", "9" * 5000, "-1", "many"])
async def test_a_limit_of_any_length_lists_events(lab, limit):
    """Right: 401 without the key, and else a list. Wrong: 500 for digits of which Python makes no number."""
    note(lab)
    async with lab.running(), lab.http() as http:
        await lab.send()
        answer = await http.get("/v1/events", params={"limit": limit})
        if lab.keys is None:
            assert (answer.status_code, len(answer.json()["data"])) == (200, 1)
        else:
            assert answer.status_code == 401


async def test_an_event_with_a_number_that_can_not_be_signed_is_refused(lab):
    """Right: 400 with a sentence, as for NaN. Wrong: it is acknowledged, and its call repeated for ever."""
    note(lab)
    async with lab.running(), lab.http() as http:
        key = lab.keys.event_key if lab.keys else "any"
        body = f'{{"name": "{lab.event("go")}", "data": {{"n": {"9" * 400}}}}}'
        answer = await http.post(f"/e/{key}", content=body)
        assert answer.status_code == 400
        assert "A number of 400 digits is too large to be signed" in answer.json()["error"]
        assert lab.rows("SELECT 1 FROM events") == []


async def test_the_signing_key_itself_is_no_bearer(signed_lab):
    note(signed_lab)
    headers = {"authorization": f"Bearer {signed_lab.keys.signing_key}"}
    async with signed_lab.running(), signed_lab.http() as http:
        assert (await http.get("/v1/events", headers=headers)).status_code == 401


async def test_the_app_refuses_calls_that_are_not_signed_with_its_key(signed_lab, draw_keys):
    note(signed_lab)
    async with signed_lab.running():
        transport = httpx.ASGITransport(app=signed_lab.app.web)
        async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as http:
            body = json.dumps({"ctx": {}, "event": {}, "steps": {}}).encode()
            for headers in ({}, {"x-inngest-signature": draw_keys().sign(body)}):
                answer = await http.post("/api/inngest?fnId=x&stepId=step", content=body, headers=headers)
                assert answer.status_code == 401


async def test_the_engine_ignores_answers_that_the_app_did_not_sign(signed_lab, until):
    note(signed_lab)

    @signed_lab.app.web.middleware("http")
    async def forge(request, call_next):
        answer = await call_next(request)
        if request.method == "POST" and len(signed_lab.app.calls) == 1:
            answer.headers["x-inngest-signature"] = signed_lab.keys.sign(b'"another answer"')
        return answer

    async with signed_lab.running():
        await signed_lab.send()
        await signed_lab.until_ended()
        assert [call["ctx"]["attempt"] for _, call, _ in signed_lab.app.calls] == [0, 1]


async def test_a_sync_with_an_engine_of_other_keys_is_refused(signed_lab, draw_keys):
    note(signed_lab)
    signed_lab.keys = draw_keys()
    with pytest.raises(EngineError, match="Authentication failed"):
        async with signed_lab.running():
            pass


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("batchEvents", {"batch_events": inngest.Batch(max_size=2, timeout=1000)}),
        ("debounce", {"debounce": inngest.Debounce(period=1000)}),
        ("rateLimit", {"rate_limit": inngest.RateLimit(limit=1, period=1000)}),
        ("throttle", {"throttle": inngest.Throttle(limit=1, period=1000)}),
        ("singleton", {"singleton": inngest.Singleton(mode="skip")}),
        ("priority", {"priority": inngest.Priority(run="event.data.p")}),
        ("timeouts", {"timeouts": inngest.Timeouts(finish=1000)}),
        ("cron", {"trigger": inngest.TriggerCron(cron="0 0 * * *")}),
        ("concurrency", {"concurrency": [inngest.Concurrency(limit=1, scope="env")]}),
        ("concurrency", {"concurrency": [inngest.Concurrency(limit=1), inngest.Concurrency(limit=2)]}),
        ("not a CEL expression", {"idempotency": "event.data.=="}),
        ("retries", {"retries": 21}),
    ],
)
async def test_a_configuration_that_is_not_supported_is_refused_by_name(dev_lab, field, options):
    @dev_lab.function("picky", **options)
    async def run(ctx):
        pass

    with pytest.raises(EngineError, match=rf"picky.*{field}"):
        async with dev_lab.running():
            pass


def test_keys_are_written_once_for_their_owner_only(tmp_path):
    keys, path = EngineKeys.load_or_draw(tmp_path / "keys.json"), tmp_path / "keys.json"
    assert not path.exists()
    keys.save(path)
    keys.save(path)
    assert EngineKeys.load_or_draw(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["keys.json"]
    with pytest.raises(EngineError, match="other keys"):
        EngineKeys.load_or_draw(tmp_path / "none.json").save(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"event_key":"short","signing_key":"00"}', "\x00"])
def test_a_file_without_keys_is_refused(tmp_path, text):
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(EngineError):
        EngineKeys.load_or_draw(path)


def test_keys_do_not_show_themselves(draw_keys):
    keys = draw_keys()
    assert keys.event_key not in repr(keys)
    assert keys.signing_key not in repr(keys)


@pytest.mark.parametrize("prefix", ["", "signkey-test-", "signkey-prod-"])
def test_a_signature_is_the_one_that_the_sdk_makes_no_matter_what_stands_before_the_key(prefix):
    body, key = b'{"a":1}', "ab" * 32
    expected = sign_request(body, prefix + key, 1_700_000_000)
    assert sign(body, prefix + key, at=1_700_000_000) == expected
    assert EngineKeys(event_key="e" * 8, signing_key=prefix + key).sign(body, at=1_700_000_000) == expected
