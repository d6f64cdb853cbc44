"""Keys that are rotated: an SDK that has the server's key as its fallback registers, runs and fetches."""

import contextlib
import json

import httpx
import pytest

from atlas.engine import EngineKeys


@pytest.fixture
def rotated(inngest_server, make_app, served, monkeypatch):
    """An app whose signing key is new, and whose fallback is the key of the server."""
    url, keys = inngest_server
    if keys is None:
        pytest.skip("a server without keys has none to rotate")
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", f"signkey-test-{keys.signing_key}")
    app = make_app(base_url=url, keys=EngineKeys(event_key=keys.event_key, signing_key="0a" * 32))

    @contextlib.asynccontextmanager
    async def running():
        async with served(app.serve()) as app_url, httpx.AsyncClient(base_url=app_url, timeout=60) as http:
            yield http

    app.running = running
    return app


async def test_an_app_with_a_new_key_still_works_with_a_server_that_has_the_old_one(rotated):
    @rotated.function()
    async def run(ctx):
        parts = [await ctx.step.run(f"{n}", rotated.step("x" * 1_500_000, note=n)) for n in range(3)]
        rotated.log.append(len("".join(parts)))

    async with rotated.running() as app:
        synced = await app.put("/api/inngest")
        assert (synced.status_code, synced.json()["ok"]) == (200, True)
        await rotated.send()
        await rotated.until_logged(4_500_000)
    assert rotated.calls[-1][1]["use_api"] is True  # fetched with the fallback, too


async def test_an_app_with_another_key_is_not_registered(rotated, monkeypatch):
    monkeypatch.setattr(rotated.client, "_signing_key_fallback", None)

    @rotated.function()
    async def run(ctx):
        pass

    async with rotated.running() as app:
        synced = await app.put("/api/inngest")
    assert not synced.json().get("ok")


async def test_a_registration_with_another_key_is_refused(raw):
    if raw.keys is None:
        pytest.skip("a server without keys asks for none")
    async with raw.running():
        wrong = {"authorization": f"Bearer {'0' * 64}"}
        answer = await raw.register(raw.url, headers=wrong, functions=[])
        run = await raw.run_of(await raw.send())
    assert answer.status_code == 401
    assert "Authentication failed" in answer.text
    assert run["status"] == "Completed"


async def test_calls_that_neither_key_has_signed_are_refused_by_the_sdk(rotated, draw_keys, inngest_server):
    @rotated.function()
    async def run(ctx):
        rotated.log.append("ran")

    event = {"data": {}, "id": "1", "name": "a", "ts": 0}
    context = {"attempt": 0, "disable_immediate_execution": False, "run_id": "1", "stack": {"stack": []}}
    call = {"ctx": context, "event": event, "events": [event], "steps": {}, "use_api": False}
    body = json.dumps(call, separators=(",", ":"), sort_keys=True).encode()
    headers = [{}, {"x-inngest-signature": draw_keys().sign(body)}]
    async with rotated.running() as app:
        path = f"/api/inngest?fnId={rotated.name}-run&stepId=step"
        refused = [await app.post(path, content=body, headers=header) for header in headers]
        ours = {"x-inngest-signature": inngest_server[1].sign(body)}
        taken = await app.post(path, content=body, headers=ours)
    assert [answer.status_code for answer in refused] == [401, 401]
    assert taken.status_code == 200
    assert rotated.log == ["ran"]
    assert inngest_server[1].is_signature(taken.headers["x-inngest-signature"], taken.content)


async def test_the_prefix_of_the_key_may_stand_before_its_hash(raw):
    if raw.keys is None:
        pytest.skip("a server without keys asks for none")
    scheme, _, hashed = raw.bearer()["authorization"].partition(" ")
    async with raw.running():
        answer = await raw.http.get(
            "/v1/events", headers={"authorization": f"{scheme} signkey-test-{hashed}"}
        )
    assert answer.status_code == 200
