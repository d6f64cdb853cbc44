"""The ways in which a naive design executes what no one approved; each is tried here by an attacker."""

import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from engine_process import EVENT_KEY, SIGNING_KEY, EngineProcess
from gateway_process import (
    AGENT_KEY,
    OTHER_AGENT_KEY,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    text_of,
)
from kept import entries_in, store_by_hand

from atlas.engine.keys import sign

CHANGE = {"beneficiary_id": "BEN-125", "changes": {"status": "ended"}}
HANDLER = "atlas-governance-gateway-handle-governance"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EngineProcess]:
    """An Inngest server with keys, in a process of its own."""
    process = EngineProcess(tmp_path / "engine", has_keys=True)
    await process.start()
    yield process
    await process.kill()


@pytest.fixture
async def dev_engine(tmp_path: Path) -> AsyncIterator[EngineProcess]:
    """An Inngest server in dev mode: it signs nothing."""
    process = EngineProcess(tmp_path / "engine", has_keys=False)
    await process.start()
    yield process
    await process.kill()


@pytest.fixture
async def stopped(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway that the test starts itself."""
    process = GatewayProcess(tmp_path)
    yield process
    if process.url:
        await process.kill()


async def pending_case(gateway: GatewayProcess) -> str:
    """The reference of a call that waits for a person."""
    async with gateway.agent() as agent:
        return reference_in(await call(agent, "modify_welfare_record", **CHANGE))


async def benefit_status(gateway: GatewayProcess) -> str:
    """What the attack wants to change from suspended to ended."""
    async with gateway.agent() as agent:
        return str((await call(agent, "check_status", beneficiary_id="BEN-125")).structured_content["status"])


def actions(gateway: GatewayProcess, case_id: str) -> list[str]:
    """What the ledger has of a case."""
    return [entry["action"] for entry in entries_in(gateway.data) if entry["case_id"] == case_id]


def step_id(name: str) -> str:
    """The id of a step in memos, as the SDK makes it."""
    return hashlib.sha1(name.encode()).hexdigest()  # noqa: S324


def forged_request(case_id: str) -> dict[str, Any]:
    """A call request that pretends that all steps up to the execution are done and said yes."""
    event = {"id": case_id, "name": "atlas/tool.execution_requested", "ts": 1, "data": {"event_id": case_id}}
    yes = {"data": {"status": "AUTHORIZED", "risk_score": 1, "wait_seconds": 1}}
    waited = {
        "id": "x",
        "name": "atlas/sarah.decision",
        "ts": 2,
        "data": {"event_id": case_id, "decision": "APPROVED"},
    }
    return {
        "ctx": {
            "attempt": 0,
            "disable_immediate_execution": False,
            "run_id": "01M8FORGED",
            "stack": {"stack": []},
            "use_api": False,
        },
        "event": event,
        "events": [event],
        "steps": {step_id("assess"): yes, step_id("wait-for-sarah"): waited, step_id("decide"): yes},
        "use_api": False,
        "version": 2,
    }


async def post_call(
    gateway: GatewayProcess, body: dict[str, Any], headers: dict[str, str], *, path: str = "/api/inngest"
) -> httpx.Response:
    """Send a call request to the gateway's Inngest endpoint, as an Inngest server does."""
    async with httpx.AsyncClient(timeout=60) as client:
        url = f"{gateway.url}{path}?fnId={HANDLER}&stepId=step"
        return await client.post(url, content=canonical(body), headers=headers)


def canonical(body: dict[str, Any]) -> bytes:
    """The JSON that is signed; these bodies are ASCII without floats, so sorting the keys is enough."""
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def signature(body: dict[str, Any], *, age: int = 0) -> dict[str, str]:
    """The header of someone who holds the signing key, made so many seconds ago."""
    return {"x-inngest-signature": sign(canonical(body), SIGNING_KEY, at=int(time.time()) - age)}


async def test_a_forged_memo_in_dev_mode_does_not_pass_the_gate(
    stopped: GatewayProcess, dev_engine: EngineProcess
) -> None:
    """Nothing is signed in dev mode, so the forged request is served, and the case store refuses it."""
    await stopped.start(**dev_engine.gateway_settings)
    case_id = await pending_case(stopped)
    response = await post_call(stopped, forged_request(case_id), {})
    assert response.status_code == 200 and '"status":"PENDING_REVIEW"' in response.text.replace(" ", "")
    assert await benefit_status(stopped) == "suspended"
    assert "execute.refused" in actions(stopped, case_id)
    async with stopped.agent() as agent:
        assert text_of(await outcome(agent, case_id, wait_seconds=0)).startswith("PENDING REVIEW")


async def test_a_run_that_an_older_gateway_began_tells_the_reviewer(
    stopped: GatewayProcess, dev_engine: EngineProcess
) -> None:
    """Its first step says only that a model elsewhere was asked; the answer came after the upgrade."""
    await stopped.start(**dev_engine.gateway_settings)
    case_id = await pending_case(stopped)

    async def told_of_it() -> int:
        return stopped.newest_log().count("A call waits for a person")

    told = await eventually(told_of_it)  # by the case's own run
    asked = {"data": {"status": "QUEUED", "risk_score": None, "is_judged_anew": False, "asked": "fc-1"}}
    body = forged_request(case_id) | {"steps": {step_id("assess"): asked}}
    response = await post_call(stopped, body, {})
    assert response.status_code == 206 and "PENDING_REVIEW" in response.text
    assert stopped.newest_log().count("A call waits for a person") == told + 1


async def test_a_forged_memo_with_a_valid_signature_does_not_pass_the_gate_either(
    stopped: GatewayProcess, engine: EngineProcess
) -> None:
    """One who holds the signing key can run the workflow, but not decide."""
    await stopped.start(**engine.gateway_settings)
    case_id = await pending_case(stopped)
    body = forged_request(case_id)
    assert (await post_call(stopped, body, signature(body))).status_code == 200
    assert await benefit_status(stopped) == "suspended"
    assert "execute.refused" in actions(stopped, case_id)


async def test_an_unsigned_call_request_and_an_unsigned_sync_are_refused_by_default(
    gateway: GatewayProcess,
) -> None:
    """The embedded engine's keys protect the endpoint on a machine with no accounts too."""
    case_id = await pending_case(gateway)
    body = forged_request(case_id)
    assert (await post_call(gateway, body, {})).status_code == 401
    assert (await post_call(gateway, body, signature(body))).status_code == 401  # signed with a wrong key
    async with httpx.AsyncClient(timeout=60) as client:
        for forged in ({}, {"x-inngest-signature": f"t={int(time.time())}&s=00"}):
            response = await client.put(f"{gateway.url}/api/inngest", json={}, headers=forged)
            assert response.status_code == 401
    assert "execute.refused" not in actions(gateway, case_id)


async def test_a_call_request_older_than_five_minutes_is_refused(
    stopped: GatewayProcess, engine: EngineProcess
) -> None:
    """A captured request does not stay good for a year, with any signature."""
    await stopped.start(**engine.gateway_settings)
    body = forged_request(await pending_case(stopped))
    old = await post_call(stopped, body, signature(body, age=301))
    assert (old.status_code, old.json()["error"]) == (401, "StaleRequest")
    again = await post_call(stopped, body, signature(body, age=301), path="/api/inngest%0A")
    assert (again.status_code, again.json()["error"]) == (401, "StaleRequest")
    timeless = {"x-inngest-signature": signature(body)["x-inngest-signature"].partition("&")[2]}
    assert (await post_call(stopped, body, timeless)).status_code == 401
    assert (await post_call(stopped, body, signature(body, age=200))).status_code == 200


async def test_two_signatures_do_not_get_an_old_request_past_the_age_check(
    stopped: GatewayProcess, engine: EngineProcess
) -> None:
    """The check and the SDK must not read different headers."""
    await stopped.start(**engine.gateway_settings)
    body = forged_request(await pending_case(stopped))
    old = signature(body, age=4000)["x-inngest-signature"]
    async with httpx.AsyncClient(timeout=60) as client:
        response = await client.post(
            f"{stopped.url}/api/inngest?fnId={HANDLER}&stepId=step",
            content=canonical(body),
            headers=[("x-inngest-signature", f"t={int(time.time())}&s=00"), ("x-inngest-signature", old)],
        )
    assert response.status_code == 401


async def test_a_replayed_call_request_executes_nothing_again(
    stopped: GatewayProcess, engine: EngineProcess
) -> None:
    """The request that executed a case is sent again while it is fresh."""
    await stopped.start(**engine.gateway_settings)
    case_id = await pending_case(stopped)
    await stopped.decide(case_id)
    async with stopped.agent() as agent:
        assert "EXECUTED" in text_of(await outcome(agent, case_id))
    body = forged_request(case_id)
    for _ in range(3):
        assert (await post_call(stopped, body, signature(body))).status_code == 200
    assert actions(stopped, case_id).count("execute.started") == 1
    async with stopped.agent() as agent:
        status = await call(agent, "check_status", beneficiary_id="BEN-125")
    assert len(status.structured_content["history"]) == 1


async def test_a_decision_event_sent_with_the_event_key_alone_decides_nothing(
    stopped: GatewayProcess, engine: EngineProcess
) -> None:
    """The event wakes the run, which finds no decision, says so in the ledger and waits on for a real one."""
    await stopped.start(**engine.gateway_settings)
    case_id = await pending_case(stopped)
    event = {"name": "atlas/sarah.decision", "data": {"event_id": case_id, "decision": "APPROVED"}}
    async with httpx.AsyncClient(timeout=60) as client:

        async def noted() -> bool:  # the run may not wait yet when the first one comes
            assert (await client.post(f"{engine.url}/e/{EVENT_KEY}", json=event)).status_code == 200
            return "decide.event_without_decision" in actions(stopped, case_id)

        await eventually(noted)
    assert await benefit_status(stopped) == "suspended"
    await stopped.decide(case_id)
    async with stopped.agent() as agent:
        assert "EXECUTED" in text_of(await outcome(agent, case_id))
    assert await benefit_status(stopped) == "ended"


async def test_an_execution_request_for_a_case_that_does_not_exist_runs_nothing(
    stopped: GatewayProcess, engine: EngineProcess
) -> None:
    """One who holds the event key can invent events; a case is only made by an agent's call."""
    await stopped.start(**engine.gateway_settings)
    data = {"event_id": "evt_0000000000000000", "tool_name": "modify_welfare_record", "arguments": CHANGE}
    async with httpx.AsyncClient(timeout=60) as client:
        event = {"name": "atlas/tool.execution_requested", "data": data}
        assert (await client.post(f"{engine.url}/e/{EVENT_KEY}", json=event)).status_code == 200
    assert await benefit_status(stopped) == "suspended"
    with closing(store_by_hand(stopped.data)) as connection:
        count = connection.execute("SELECT count(*) FROM cases WHERE tool_name != 'check_status'").fetchone()
    assert count == (0,)


async def test_arguments_altered_in_the_database_are_not_executed(gateway: GatewayProcess) -> None:
    """What runs is what was approved: another payload under an approved reference is refused."""
    async with gateway.agent() as agent:
        case_id = reference_in(
            await call(
                agent, "modify_welfare_record", beneficiary_id="BEN-125", changes={"monthly_amount_eur": 1}
            )
        )
    with closing(store_by_hand(gateway.data)) as connection, connection:
        altered = json.dumps({"beneficiary_id": "BEN-125", "changes": {"status": "ended"}})
        connection.execute("UPDATE cases SET arguments = ? WHERE case_id = ?", (altered, case_id))
    await gateway.decide(case_id)
    async with gateway.agent() as agent:
        result = await outcome(agent, case_id)
    assert text_of(result).startswith("FAILED") and "not those that were approved" in text_of(result)
    assert await benefit_status(gateway) == "suspended"


@pytest.mark.parametrize(
    ("key", "status"),
    [(AGENT_KEY, 403), (OTHER_AGENT_KEY, 403), (None, 401), ("a-key-of-no-one", 401)],
)
async def test_only_the_reviewers_key_decides(gateway: GatewayProcess, key: str | None, status: int) -> None:
    """An agent cannot approve itself."""
    case_id = await pending_case(gateway)
    response = await gateway.decide(case_id, key=key)
    assert response.status_code == status
    assert set(response.json()) == {"error", "detail"}
    assert "decide.approved" not in actions(gateway, case_id)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "approved"},
        {"decision": "MAYBE"},
        {"decision": None},
        {"decision": True},
        {"decision": ""},
        {"decision": "APPROVED", "force": True},
    ],
)
async def test_a_missing_or_unknown_decision_is_no_approval(
    gateway: GatewayProcess, body: dict[str, Any]
) -> None:
    """Only APPROVED and REJECTED are decisions."""
    case_id = await pending_case(gateway)
    async with httpx.AsyncClient(
        headers={"Authorization": "Bearer reviewer-key-of-the-tests"}, timeout=60
    ) as client:
        response = await client.post(f"{gateway.url}/webhook/approval", json={"event_id": case_id} | body)
    assert (response.status_code, response.json()["error"]) == (422, "RequestInvalid")
    assert not {"decide.approved", "decide.rejected"} & set(actions(gateway, case_id))


async def test_another_agents_reference_is_useless(gateway: GatewayProcess) -> None:
    """It is answered like a reference that never was, before and after the outcome."""
    case_id = await pending_case(gateway)
    async with gateway.agent(OTHER_AGENT_KEY) as other:
        before = await outcome(other, case_id, wait_seconds=0)
        await gateway.decide(case_id)
        async with gateway.agent() as agent:
            assert "EXECUTED" in text_of(await outcome(agent, case_id))
        after = await outcome(other, case_id, wait_seconds=0)
        unknown = await outcome(other, "evt_0000000000000000", wait_seconds=0)
    for answer, reference in ((before, case_id), (after, case_id), (unknown, "evt_0000000000000000")):
        assert answer.is_error
        assert f"You have no call with the reference {reference}." in text_of(answer)


@pytest.mark.parametrize("is_restarted", [False, True], ids=["running on", "restarted meanwhile"])
async def test_a_decision_made_while_inngest_is_down_takes_effect_when_it_is_back(
    stopped: GatewayProcess, engine: EngineProcess, is_restarted: bool
) -> None:
    """The calls are taken and the decisions are kept while the server is gone, and nothing is asked twice."""
    await stopped.start(**engine.gateway_settings)
    waiting = await pending_case(stopped)
    await engine.kill()
    async with stopped.agent() as agent:
        queued, undecided = [
            reference_in(
                await call(agent, "modify_welfare_record", beneficiary_id=who, changes={"status": "ended"})
            )
            for who in ("BEN-124", "BEN-123")
        ]
    for case_id in (waiting, queued):
        assert (await stopped.decide(case_id)).status_code == 200
    if is_restarted:  # what was only in memory is gone
        await stopped.kill()
        await stopped.start(**engine.gateway_settings)
    async with httpx.AsyncClient(timeout=60) as client:
        ready = await client.get(f"{stopped.url}/readyz")
    assert ready.status_code == 503 and not ready.json()["engine"]["ok"]
    await engine.start()
    async with stopped.agent() as agent:
        for case_id in (waiting, queued):
            assert "EXECUTED" in text_of(await outcome(agent, case_id))
        assert not (await outcome(agent, undecided, wait_seconds=0)).is_error
    for case_id in (waiting, queued):
        assert actions(stopped, case_id).count("execute.started") == 1
    assert "execute.started" not in actions(stopped, undecided)
