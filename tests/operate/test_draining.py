"""A stop: what agents and balancers are told, what is brought to its end, and what is waited for."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from eras import STATELESS, agent
from gateway_process import (
    REVIEWER_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    text_of,
    waiting_case,
)

SCRIPT = Path(__file__).parents[1] / "acceptance" / "gateway_with_tools.py"
SLOW_DISK = SCRIPT.with_name("slow_disk_gateway.py")
CHANGE = {"beneficiary_id": "BEN-125", "changes": {"monthly_amount_eur": 700}}
LONG = {"ATLAS_GRACE_SECONDS": "50", "ATLAS_REVIEW_GRACE_SECONDS": "25"}
APPROVAL = (
    "POST /webhook/approval HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)
WAYS = [("legacy", False), ("legacy", True), (STATELESS, False)]


@asynccontextmanager
async def running(directory: Path, **environment: str) -> AsyncIterator[GatewayProcess]:
    """A gateway with tools that take as long as the test lets them."""
    gateway = GatewayProcess(directory, script=SCRIPT, **environment)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


async def is_stopping(gateway: GatewayProcess) -> bool:
    """Whether a stop has begun: no one can connect, or /readyz says so."""
    try:
        async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
            return bool((await client.get(f"{gateway.url}/readyz")).json().get("stopping"))
    except httpx.TransportError:
        return True


async def has_begun(directory: Path) -> None:
    """Wait until the tool runs."""

    async def is_there() -> bool:
        return (directory / "ran.txt").exists()

    await eventually(is_there)


def tell_to_stop(gateway: GatewayProcess) -> None:
    """Send the signal, and do not wait for it."""
    os.kill(gateway.process_id, signal.SIGTERM)


@pytest.mark.parametrize(("era", "sse"), WAYS)
async def test_a_call_that_is_held_for_a_person_is_answered_with_its_reference(
    tmp_path: Path, era: str, sse: bool
) -> None:
    """At once, however long it would be held; after the start its case waits as before."""
    async with running(tmp_path, **LONG) as gateway:
        async with agent(gateway, era=era, sse=sse) as client:
            await client.list_tools()  # else it does so before it hands out a result
            held = asyncio.create_task(call(client, "talk", word="held"))
            case_id = await waiting_case(gateway, "held")
            tell_to_stop(gateway)
            assert reference_in(await held) == case_id
        assert await gateway.ended() in (0, -signal.SIGTERM)
        await gateway.start()
        await gateway.decide(case_id)
        async with agent(gateway) as client:
            assert "said held" in text_of(await outcome(client, case_id))


async def test_a_tool_that_runs_is_let_to_its_end_and_its_agent_gets_the_result(tmp_path: Path) -> None:
    """Also where no one can connect any more, and a balancer has sent all others elsewhere."""
    async with running(tmp_path, ATLAS_STOP_TIMEOUT="60s", **LONG) as gateway, agent(gateway) as client:
        await client.list_tools()
        running_call = asyncio.create_task(call(client, "talk_on", word="to the end"))
        await gateway.decide(await waiting_case(gateway, "to the end"))
        await has_begun(tmp_path)
        tell_to_stop(gateway)
        await eventually(partial(is_stopping, gateway))
        assert not running_call.done()
        (tmp_path / "release").touch()
        assert "talked on to the end" in text_of(await running_call)
        await gateway.ended()


@pytest.mark.parametrize(("era", "sse"), WAYS)
async def test_an_agent_whose_answer_waits_for_the_disk_gets_it_before_the_process_ends(
    tmp_path: Path, era: str, sse: bool
) -> None:
    """The call has ended, and only the note is missing that its agent gets the ending."""
    gateway = GatewayProcess(tmp_path, script=SLOW_DISK, ATLAS_STOP_TIMEOUT="60s", **LONG)
    await gateway.start()
    try:
        async with agent(gateway, era=era, sse=sse) as client:
            await client.list_tools()
            running_call = asyncio.create_task(call(client, "talk_on", word="to the disk"))
            await gateway.decide(await waiting_case(gateway, "to the disk"))
            await has_begun(tmp_path)
            tell_to_stop(gateway)
            await eventually(partial(is_stopping, gateway))
            (tmp_path / "release").touch()
            assert "talked on to the disk" in text_of(await running_call)
        assert await gateway.ended() in (0, -signal.SIGTERM)
    finally:
        await gateway.kill()


async def test_a_tool_that_does_not_end_is_of_unknown_outcome_and_its_agent_has_the_reference(
    tmp_path: Path,
) -> None:
    """It is never begun again."""
    async with running(tmp_path, ATLAS_STOP_TIMEOUT="100ms", **LONG) as gateway:
        async with agent(gateway) as client:
            await client.list_tools()
            running_call = asyncio.create_task(call(client, "talk_on", word="endless"))
            case_id = await waiting_case(gateway, "endless")
            await gateway.decide(case_id)
            await has_begun(tmp_path)
            tell_to_stop(gateway)
            assert text_of(await running_call).startswith(f"EXECUTING (Ref: {case_id})")
        await gateway.ended()
        await gateway.start()
        async with agent(gateway) as client:
            assert "OUTCOME UNKNOWN" in text_of(await outcome(client, case_id))
        assert (tmp_path / "ran.txt").read_text().splitlines() == ["begun"]


async def test_while_a_balancer_finds_out_all_is_served_and_a_second_signal_ends_that(tmp_path: Path) -> None:
    """/readyz says 503, /healthz 200; calls are taken, and each answer closes its connection."""
    async with running(tmp_path, ATLAS_DRAIN_TIME="10m") as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=WAIT_SECONDS) as client:
            assert "connection" not in (await client.get("/readyz")).headers
            tell_to_stop(gateway)
            await eventually(partial(is_stopping, gateway))
            answers = [await client.get("/readyz"), await client.get("/healthz")]
            assert [answer.status_code for answer in answers] == [503, 200]
            assert {answer.headers["connection"] for answer in answers} == {"close"}
            assert answers[0].json()["ready"] is False
        async with agent(gateway) as client:
            assert not (await call(client, "check_status", beneficiary_id="BEN-123")).is_error
            case_id = reference_in(await call(client, "talk", word="late"))
        tell_to_stop(gateway)
        await gateway.ended()
        await gateway.start()
        await gateway.decide(case_id)
        async with agent(gateway) as client:
            assert "said late" in text_of(await outcome(client, case_id))


async def test_an_idle_gateway_waits_for_nothing(tmp_path: Path) -> None:
    """However long tools might take, and with a connection that stays open without a request."""
    async with running(tmp_path, ATLAS_STOP_TIMEOUT="10m") as gateway:
        with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2]))):
            tell_to_stop(gateway)
            await asyncio.wait_for(gateway.ended(), WAIT_SECONDS)
        log = gateway.newest_log()
        assert "Traceback" not in log and " ERROR " not in log


async def test_a_call_that_is_approved_during_a_stop_is_executed_by_the_next_process(tmp_path: Path) -> None:
    """Its tool would be cut here. The decision was on its way when the stop began, and is taken."""
    async with running(tmp_path, ATLAS_STOP_TIMEOUT="60s", **LONG) as gateway:
        async with agent(gateway) as client, agent(gateway) as other:
            await asyncio.gather(client.list_tools(), other.list_tools())
            to_the_end = asyncio.create_task(call(client, "talk_on", word="to the end"))
            await gateway.decide(await waiting_case(gateway, "to the end"))
            await has_begun(tmp_path)
            later = asyncio.create_task(call(other, "talk", word="later"))
            case_id = await waiting_case(gateway, "later")
            decision = json.dumps({"decision": "APPROVED", "event_id": case_id}).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(gateway.url).port)
            writer.write(APPROVAL.format(key=REVIEWER_KEY, length=len(decision)).encode() + decision[:5])
            await writer.drain()
            assert (
                await gateway.decide("evt_0000000000000000")
            ).status_code == 404  # the rest is read by now
            tell_to_stop(gateway)
            assert reference_in(await later) == case_id
            writer.write(decision[5:])
            assert b" 200 " in await reader.readline()
            writer.close()
            (tmp_path / "release").touch()
            assert "talked on" in text_of(await to_the_end)
        await gateway.ended()
        assert "later" not in (tmp_path / "ran.txt").read_text().splitlines()
        await gateway.start()
        async with agent(gateway) as client:
            assert "said later" in text_of(await outcome(client, case_id))
        assert (tmp_path / "ran.txt").read_text().splitlines().count("later") == 1
