"""The same call again: it brings an ending that its agent never got, once, over a restart, to no one else."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from acceptance.task_client import about, start, task_client
from gateway_process import (
    AGENT_KEY,
    OTHER_AGENT_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    status_of,
    text_of,
    waiting_case,
)
from kept import entries_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOL = "request_payment_extension"
EVERY_KIND = pytest.mark.parametrize("sse", [True, False], ids=["sse", "http"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for all tests of this module, which may restart it."""
    process = GatewayProcess(tmp_path_factory.mktemp("same call"))
    await process.start()
    yield process
    await process.kill()


def some_call() -> dict[str, Any]:
    """Arguments of a call that waits for a person, unlike those of any other test."""
    return {"beneficiary_id": "BEN-123", "reason": f"again {secrets.token_hex(4)}"}


async def decided(gateway: GatewayProcess, case_id: str, decision: str = "APPROVED", **fields: Any) -> None:
    """Decide a case, and wait until it has ended without asking as its agent."""
    await gateway.decide(case_id, decision, **fields)
    status = {"APPROVED": "EXECUTED"}.get(decision, decision)

    async def is_ended() -> bool:
        return status_of(gateway, case_id) == status

    await eventually(is_ended)


@EVERY_KIND
async def test_the_same_call_brings_the_result_once_and_then_is_a_new_one(
    running: GatewayProcess, sse: bool
) -> None:
    """Held, killed while it waits, started again, approved: the call brings the result, and says of what."""
    arguments = some_call()
    async with running.agent(sse=sse) as agent:
        case_id = reference_in(await call(agent, TOOL, **arguments))
    await running.kill()
    await running.start()
    await decided(running, case_id)
    async with running.agent(sse=sse) as agent:
        stored = await call(agent, TOOL, **arguments)
        assert "now due on" in text_of(stored) and not stored.is_error
        told = stored.meta["io.atlas/case"]
        assert (told["ref"], told["status"]) == (case_id, "EXECUTED") and told["finished_at"]
        assert reference_in(await call(agent, TOOL, **arguments)) != case_id


@EVERY_KIND
async def test_a_refusal_is_brought_with_its_reason(running: GatewayProcess, sse: bool) -> None:
    """An agent that only ever repeats itself hears the reviewer too."""
    arguments = some_call()
    async with running.agent(sse=sse) as agent:
        case_id = reference_in(await call(agent, TOOL, **arguments))
        await decided(running, case_id, "REJECTED", reason="ask in spring")
        stored = await call(agent, TOOL, **arguments)
    assert stored.is_error and "ask in spring" in text_of(stored)
    assert stored.meta["io.atlas/case"]["status"] == "REJECTED"


@pytest.mark.parametrize("way", ["get_outcome", "tasks", "resource"])
async def test_what_was_handed_over_on_another_way_is_not_brought_again(
    running: GatewayProcess, way: str
) -> None:
    """Whichever way the agent took, its next call is a new one."""
    arguments = some_call()
    async with running.agent() as agent:
        case_id = reference_in(await call(agent, TOOL, **arguments))
        await decided(running, case_id)
        if way == "get_outcome":
            await outcome(agent, case_id)
        if way == "resource":
            await agent.read_resource(f"atlas://cases/{case_id}")
        if way == "tasks":
            async with task_client(running.url, AGENT_KEY) as other_client:
                await about(other_client, "tasks/get", case_id)
        assert reference_in(await call(agent, TOOL, **arguments)) != case_id


async def test_what_is_read_again_comes_from_its_source_and_what_is_done_again_is_a_new_case(
    running: GatewayProcess,
) -> None:
    """Killed in the moment of an answer, three times: no ending of before stands in for a second call."""
    for amount in (31, 32, 33):
        async with running.agent() as agent:
            await call(agent, "check_status", beneficiary_id="BEN-125")
            changes = {"monthly_amount_eur": amount}
            asked = {"beneficiary_id": "BEN-125", "changes": changes}
            case_id = reference_in(await call(agent, "modify_welfare_record", **asked))
            await running.decide(case_id)
            assert "EXECUTED" in text_of(await outcome(agent, case_id))
            await running.kill()
        await running.start()
        async with running.agent() as agent:
            record = await call(agent, "check_status", beneficiary_id="BEN-125")
            assert record.structured_content["monthly_amount_eur"] == amount
            assert "io.atlas/case" not in (record.meta or {})
            assert reference_in(await call(agent, "modify_welfare_record", **asked)) != case_id


async def test_a_reworded_call_names_the_one_that_waits_to_agent_reviewer_and_ledger(
    running: GatewayProcess,
) -> None:
    """It is a case of its own, and everyone sees that it may be the same request."""
    async with running.agent() as agent, running.agent(OTHER_AGENT_KEY) as other:
        first = reference_in(await call(agent, "request_extension", **long_extension("first words")))
        assert await waiting_case(running, "first words") == first  # its judgement may come after the answer
        again = await call(agent, "request_extension", **long_extension("other words"))
        foreign = await call(other, "request_extension", **long_extension("words of another agent"))
        second = reference_in(again)
        assert await waiting_case(running, "other words") == second
        await decided(running, first, "REJECTED", reason="no")
        third = await call(agent, "request_extension", **long_extension("third words"))
    sentence = "When this call came, an earlier call of request_extension still waited: "
    assert f"{sentence}{first}." in text_of(again)
    assert sentence not in text_of(foreign) and f"{sentence}{second}." in text_of(third)
    assert f"; {first} waited already" in running.newest_log()
    opened = {entry["case_id"]: entry["detail"] for entry in reversed(ledger_of(running))}
    assert opened[second]["waiting_before"] == [first] and "waiting_before" not in opened[first]


def long_extension(reason: str) -> dict[str, Any]:
    """Arguments of an extension that a person has to decide on."""
    return {"beneficiary_id": "BEN-123", "days": 90, "reason": reason}


def ledger_of(gateway: GatewayProcess) -> list[dict[str, Any]]:
    return list(entries_in(gateway.data))


async def test_another_agents_call_is_a_case_of_its_own(running: GatewayProcess) -> None:
    """Neither the result nor the reference of the first agent reaches the second."""
    arguments = some_call()
    async with running.agent() as agent:
        case_id = reference_in(await call(agent, TOOL, **arguments))
        await decided(running, case_id)
        async with running.agent(OTHER_AGENT_KEY) as other:
            assert reference_in(await call(other, TOOL, **arguments)) != case_id
        assert "now due on" in text_of(await call(agent, TOOL, **arguments))


@pytest.mark.parametrize("tool", [TOOL, "get_outcome"])
async def test_an_agent_whose_connection_broke_has_collected_nothing(
    running: GatewayProcess, tool: str
) -> None:
    """Streamable HTTP with a session: no one says goodbye, the connection just ends while it waits."""
    await running.kill()
    await running.start(ATLAS_REVIEW_GRACE_SECONDS="20")
    arguments = some_call()
    asked = {"name": TOOL, "arguments": arguments}
    if tool == "get_outcome":
        async with task_client(running.url, AGENT_KEY) as agent:
            case_id = (await start(agent, TOOL, **arguments)).task_id
        asked = {"name": tool, "arguments": {"ref": case_id, "wait_seconds": 25}}
    accept = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {AGENT_KEY}"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    async with httpx.AsyncClient(headers=accept, timeout=WAIT_SECONDS) as client:

        def body(method: str, params: dict[str, Any]) -> dict[str, Any]:
            return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}

        started = await client.post(f"{running.url}/mcp", json=body("initialize", hello))
        client.headers["Mcp-Session-Id"] = started.headers["mcp-session-id"]
        async with client.stream("POST", f"{running.url}/mcp", json=body("tools/call", asked)) as answer:
            assert answer.status_code == 200
            case_id = await waiting_case(running, arguments["reason"])
    await decided(running, case_id)
    async with running.agent() as agent:
        stored = await call(agent, TOOL, **arguments)
    assert "now due on" in text_of(stored) and stored.meta["io.atlas/case"]["ref"] == case_id
