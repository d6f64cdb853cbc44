"""A person stops calls, from outside: real agents, a real gateway, stopped over HTTP and by the command."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from acceptance.task_client import about, start, task_client
from engine_elsewhere import EVENT_KEY, OLD_KEY, engine
from fastmcp.exceptions import ToolError
from gateway_process import (
    AGENT_KEY,
    OTHER_AGENT_KEY,
    REVIEWER_KEY,
    ROOT,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    status_of,
    text_of,
)
from kept import acts, entries_in, store_by_hand
from mcp.shared.exceptions import MCPError
from stopping import ask, command, lift, lift_elsewhere, stop, stop_elsewhere
from upstream_process import UpstreamProcess, noted

from atlas import ledger
from atlas.models import Scope

MORTAL = Path(__file__).parent / "mortal_gateway.py"
CHANGE = {"beneficiary_id": "BEN-125", "changes": {"monthly_amount_eur": 700}}
SHORT_EXTENSION = {"beneficiary_id": "BEN-125", "days": 3, "reason": "illness", "documents": ["D-1"]}
REFUSED = "This call was refused: a person stopped "


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway that is not started yet; `start(ATLAS_TEST_DIE=…)` starts one that will die."""
    gateway = GatewayProcess(tmp_path, script=MORTAL)
    yield gateway
    with contextlib.suppress(AssertionError):
        await gateway.kill()


async def restart(gateway: GatewayProcess) -> None:
    """Start again without the deadly moment."""
    gateway.script = ROOT / "gateway.py"
    await gateway.start()


def actions(gateway: GatewayProcess, case_id: str) -> list[str]:
    """What the ledger has of a case, in order; all of it verifies."""
    entries = list(entries_in(gateway.data))
    assert ledger.verify(entries) == len(entries)
    return [entry["action"] for entry in entries if entry["case_id"] == case_id]


def one_case(gateway: GatewayProcess) -> str:
    """The reference of the only case."""
    with contextlib.closing(store_by_hand(gateway.data)) as connection:
        [row] = connection.execute("SELECT case_id FROM cases").fetchall()
    return str(row[0])


async def history(gateway: GatewayProcess) -> list[str]:
    """What happened to the record."""
    async with gateway.agent(OTHER_AGENT_KEY) as agent:
        status = await call(agent, "check_status", beneficiary_id="BEN-125")
    return list(status.structured_content["history"])


async def told(gateway: GatewayProcess, case_id: str, *, wait_seconds: int = 0) -> str:
    """What the agent reads of its case."""
    async with gateway.agent() as agent:
        return text_of(await outcome(agent, case_id, wait_seconds=wait_seconds))


# New calls


@pytest.mark.parametrize("sse", [True, False], ids=["sse", "http"])
async def test_a_new_call_under_a_stop_is_an_error_with_the_reason_until_the_lift(
    gateway: GatewayProcess, sse: bool
) -> None:
    """Reading too, of every agent; the ledger has both decisions, and no case."""
    stop_id = await stop(gateway)
    for key in (AGENT_KEY, OTHER_AGENT_KEY):
        async with gateway.agent(key, sse=sse) as agent:
            refused = await call(agent, "check_status", beneficiary_id="BEN-123")
            assert refused.is_error and text_of(refused).startswith(REFUSED + "all calls at ")
            assert "Reason: fire in the cellar. Nothing was done." in text_of(refused)
            assert "There is" not in text_of(refused) and "evt_" not in text_of(refused)
            with pytest.raises(ToolError, match="You have no call"):  # get_outcome is not governed
                await agent.call_tool("get_outcome", {"ref": "evt_0000000000000000"})
    await lift(gateway, stop_id)
    async with gateway.agent(sse=sse) as agent:
        assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
    assert acts(entries_in(gateway.data))[:3] == ["stop.begun", "stop.lifted", "admit.queued"]


async def test_a_stop_of_an_agent_or_a_tool_leaves_the_others_alone(gateway: GatewayProcess) -> None:
    """Each is told what is stopped."""
    await stop(gateway, "agent", "agent")
    await stop(gateway, "tool", "modify_welfare_record")
    async with gateway.agent() as agent, gateway.agent(OTHER_AGENT_KEY) as other:
        mine = text_of(await call(agent, "check_status", beneficiary_id="BEN-125"))
        assert mine.startswith(REFUSED + "the agent agent at ")
        assert not (await call(other, "check_status", beneficiary_id="BEN-125")).is_error
        change = text_of(await call(other, "modify_welfare_record", **CHANGE))
        assert change.startswith(REFUSED + "the tool modify_welfare_record at ")


async def test_a_call_as_a_task_is_refused_and_a_task_that_waits_says_that_it_is_stopped(
    gateway: GatewayProcess,
) -> None:
    """A client of the extension gets an error, or the message of its task."""
    arguments = {"beneficiary_id": "BEN-123", "reason": "a task"}
    async with task_client(gateway.url, AGENT_KEY) as agent:
        case_id = (await start(agent, "request_payment_extension", **arguments)).task_id
    await stop(gateway)
    async with task_client(gateway.url, AGENT_KEY) as agent:
        working = await about(agent, "tasks/get", case_id)
        assert working["status"] == "working" and "A person stopped all calls at" in working["statusMessage"]
        refused = await agent.call_tool("modify_welfare_record", CHANGE)
    assert refused.is_error and text_of(refused).startswith(REFUSED)
    assert one_case(gateway) == case_id


# What waits


async def test_a_waiting_call_is_frozen_and_is_rejected_but_not_approved(gateway: GatewayProcess) -> None:
    """The agent that asks, or calls again, reads it; after the lift the approval counts."""
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
        other = reference_in(
            await call(agent, "request_payment_extension", beneficiary_id="BEN-123", reason="illness")
        )
        stop_id = await stop(gateway)
        again = text_of(await call(agent, "modify_welfare_record", **CHANGE))
        asked = text_of(await outcome(agent, case_id, wait_seconds=0))
        for text in (again, asked):
            assert text.startswith(f"PENDING REVIEW (Ref: {case_id})")
            assert "A person stopped all calls at" in text and "Reason: fire in the cellar." in text
        refused = await gateway.decide(case_id)
        assert refused.status_code == 409 and refused.json()["error"] == "Stopped"
        assert "Sarah stopped all calls at" in refused.json()["detail"]
        assert (await gateway.decide(other, "REJECTED")).status_code == 200
        assert text_of(await outcome(agent, other)).startswith("REJECTED")
        await lift(gateway, stop_id)
        assert (await gateway.decide(case_id)).status_code == 200
        assert text_of(await outcome(agent, case_id)).startswith("EXECUTED")
    assert actions(gateway, case_id).count("execute.started") == 1


async def test_the_time_to_decide_stands_still_and_then_runs_on(gateway: GatewayProcess) -> None:
    """Its run wakes at the old end and waits on; it does not step each second; then the case expires."""
    await gateway.kill()
    await gateway.start(ATLAS_REVIEW_TIMEOUT="10s")  # in which a slow machine makes the call, and stops it
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
    stop_id = await stop(gateway)
    await eventually(lambda: steps(gateway, "decide", at_least=1))
    await asyncio.sleep(3)  # in which a run that steps each second would step
    assert status_of(gateway, case_id) == "PENDING_REVIEW" and await steps(gateway, "decide") == 1
    await lift(gateway, stop_id)
    assert (await told(gateway, case_id)).startswith("PENDING REVIEW")
    text = [line for line in gateway.newest_log().splitlines() if case_id in line]
    assert len(text) == 1, text  # the reviewers were told once


async def steps(gateway: GatewayProcess, name: str, *, at_least: int = 0) -> int:
    """How often a run has taken a step."""
    with contextlib.closing(sqlite3.connect(gateway.data / "engine.db")) as connection:
        query = "SELECT count(*) FROM memos WHERE name = ?"
        count = int(connection.execute(query, (name,)).fetchone()[0])
    return count if count >= at_least else 0


# What is approved


CHANGED, EXTENDED = ("modify_welfare_record", CHANGE), ("request_extension", SHORT_EXTENSION)
HELD = [
    # killed where, which call, how it is lifted
    ("after atlas.decide Decisions.record", CHANGED, "while it runs"),
    ("after atlas.decide Decisions.record", CHANGED, "by another process"),
    ("after atlas.decide Decisions.record", CHANGED, "while it is down"),
    ("before atlas.execute Execution._claim", CHANGED, "by another process"),
    ("before atlas.path AssessAndDecide.assess", EXTENDED, "by another process"),
    ("before atlas.execute Execution._claim", EXTENDED, "while it is down"),
]


@pytest.mark.parametrize(("moment", "made", "lifted"), HELD)
async def test_what_is_approved_does_not_begin_and_begins_once_after_the_lift(
    mortal: GatewayProcess, moment: str, made: tuple[str, dict[str, Any]], lifted: str
) -> None:
    """Stopped while the gateway is down; killed once more between stop and lift."""
    tool, arguments = made
    await mortal.start(ATLAS_TEST_DIE=moment)
    with contextlib.suppress(Exception):
        async with mortal.agent() as agent:
            answer = await asyncio.wait_for(call(agent, tool, **arguments), 20)
            await mortal.decide(reference_in(answer))
    await mortal.ended()
    stop_id = await stop_elsewhere(mortal, Scope.EVERYTHING)
    case_id = one_case(mortal)
    await restart(mortal)
    await eventually(lambda: is_held(mortal, case_id))
    text = await told(mortal, case_id)
    assert text.startswith(f"AUTHORIZED (Ref: {case_id})") and "A person stopped all calls at" in text
    await mortal.kill()
    if lifted == "while it is down":
        await lift_elsewhere(mortal, stop_id)
    await mortal.start()
    assert lifted == "while it is down" or await is_held(mortal, case_id)
    if lifted == "while it runs":
        await lift(mortal, stop_id)
    if lifted == "by another process":
        await lift_elsewhere(mortal, stop_id)
    assert (await told(mortal, case_id, wait_seconds=25)).startswith("EXECUTED")
    done = actions(mortal, case_id)
    assert done.count("execute.started") == done.count("execute.finished") == 1
    assert len(await history(mortal)) == 1


async def is_held(gateway: GatewayProcess, case_id: str) -> bool:
    """Whether a case is approved, and held by a stop."""
    with contextlib.closing(store_by_hand(gateway.data)) as connection:
        query = "SELECT status, frozen_at FROM cases WHERE case_id = ?"
        status, frozen_at = connection.execute(query, (case_id,)).fetchone()
    return status == "AUTHORIZED" and frozen_at is not None


async def test_a_held_call_that_a_person_rejects_never_begins(mortal: GatewayProcess) -> None:
    """The score approved it; a stop holds it, and a rejection ends it."""
    await mortal.start(ATLAS_TEST_DIE="before atlas.execute Execution._claim")
    with contextlib.suppress(Exception):
        async with mortal.agent() as agent:
            await asyncio.wait_for(call(agent, "request_extension", **SHORT_EXTENSION), 20)
    await mortal.ended()
    stop_id = await stop_elsewhere(mortal, Scope.TOOL, "request_extension")
    case_id = one_case(mortal)
    await restart(mortal)
    await eventually(lambda: is_held(mortal, case_id))
    assert (await mortal.decide(case_id, "REJECTED")).status_code == 200
    await lift(mortal, stop_id)
    assert (await told(mortal, case_id, wait_seconds=5)).startswith("REJECTED")
    await eventually(lambda: is_reported(mortal, case_id))
    assert "execute.started" not in actions(mortal, case_id) and await history(mortal) == []


async def is_reported(gateway: GatewayProcess, case_id: str) -> bool:
    """Whether the workflow has heard how a case ended."""
    with contextlib.closing(store_by_hand(gateway.data)) as connection:
        query = "SELECT reported_at FROM cases WHERE case_id = ?"
        return connection.execute(query, (case_id,)).fetchone()[0] is not None


async def test_the_same_holds_with_an_engine_elsewhere(mortal: GatewayProcess, tmp_path: Path) -> None:
    """Over Inngest's protocol: held, killed, lifted by another process, begun once."""
    async with engine(tmp_path / "engine") as engine_url:
        settings = {
            "INNGEST_BASE_URL": engine_url,
            "INNGEST_EVENT_KEY": EVENT_KEY,
            "INNGEST_SIGNING_KEY": OLD_KEY,
            "INNGEST_SERVE_ORIGIN": "",
        }
        del settings["INNGEST_SERVE_ORIGIN"]
        await mortal.start(ATLAS_TEST_DIE="after atlas.decide Decisions.record", **settings)
        async with mortal.agent() as agent:
            case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
        with contextlib.suppress(httpx.TransportError):
            await mortal.decide(case_id)
        await mortal.ended()
        stop_id = await stop_elsewhere(mortal, Scope.AGENT, "agent")
        mortal.script = ROOT / "gateway.py"
        await mortal.start(**settings)
        assert (await told(mortal, case_id)).startswith("AUTHORIZED")
        await lift_elsewhere(mortal, stop_id)
        assert (await told(mortal, case_id, wait_seconds=25)).startswith("EXECUTED")
        assert actions(mortal, case_id).count("execute.started") == 1


async def test_an_agent_that_waits_for_its_call_is_told_at_once_when_it_is_stopped(tmp_path: Path) -> None:
    """It would be held for 25 seconds; the stop comes from another process."""
    gateway = GatewayProcess(tmp_path, ATLAS_REVIEW_GRACE_SECONDS="25")
    await gateway.start()
    try:
        async with gateway.agent() as agent:
            waiting = asyncio.create_task(call(agent, "modify_welfare_record", **CHANGE))
            await eventually(lambda: has_case(gateway, "PENDING_REVIEW"))
            await stop_elsewhere(gateway, Scope.EVERYTHING)
            text = text_of(await asyncio.wait_for(waiting, 20))
        assert text.startswith("PENDING REVIEW") and "A person stopped all calls at" in text
    finally:
        await gateway.kill()


async def has_case(gateway: GatewayProcess, status: str) -> bool:
    """Whether a case stands so."""
    with contextlib.closing(store_by_hand(gateway.data)) as connection:
        return bool(connection.execute("SELECT 1 FROM cases WHERE status = ?", (status,)).fetchone())


# Servers behind the gateway


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[UpstreamProcess]:
    """The fixture server over HTTP."""
    process = UpstreamProcess("http", tmp_path / "notes")
    await process.start()
    yield process
    await process.kill()


@pytest.mark.parametrize("prefix", ["far", ""])
async def test_a_stop_of_a_server_covers_its_tools_resources_and_prompts(
    tmp_path: Path, far: UpstreamProcess, prefix: str
) -> None:
    """By whose they are, not by what they are called; a waiting call of it freezes, too."""
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"far": far.entry | {"atlas": {"prefix": prefix}}}}))
    gateway = GatewayProcess(tmp_path, ATLAS_MCP_CONFIG=str(config), ATLAS_WELFARE="on")
    await gateway.start()
    try:
        of = f"{prefix}_" if prefix else ""
        await until_offered(gateway, f"{of}note")
        at = f"{prefix}/" if prefix else ""
        async with gateway.agent() as agent:
            case_id = reference_in(await call(agent, f"{of}note", text="a"))
            stop_id = await stop(gateway, "server", "far")
            assert (await gateway.decide(case_id)).json()["error"] == "Stopped"
            refused = text_of(await call(agent, f"{of}note", text="b"))
            assert refused.startswith(REFUSED + "the server far at ")
            for reading in (
                agent.read_resource(f"notes://{at}today"),
                agent.read_resource(f"notes://{at}day/monday"),
                agent.get_prompt(f"{of}greet", {"name": "Sarah"}),
            ):
                with pytest.raises(MCPError, match=r"a person stopped the server far at .* Nothing was done"):
                    await reading
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
            await agent.read_resource(f"atlas://cases/{case_id}")
            await lift(gateway, stop_id)
            [today] = await agent.read_resource(f"notes://{at}today")
            assert today.text == "a note of today"
            await gateway.decide(case_id)
            assert text_of(await outcome(agent, case_id)).startswith("EXECUTED")
        assert noted(far.notes) == ["a"]
    finally:
        await gateway.kill()


async def until_offered(gateway: GatewayProcess, tool: str) -> None:
    """Wait until agents get a tool."""

    async def is_there() -> bool:
        async with gateway.agent() as agent:
            return tool in {one.name for one in await agent.list_tools()}

    await eventually(is_there)


# Over HTTP, and by the command

REFUSALS: list[tuple[str | None, str, dict[str, Any], int, str]] = [
    (None, "", {}, 401, "NotAuthenticated"),
    (None, "", {"scope": "everything", "reason": "x"}, 401, "NotAuthenticated"),
    (AGENT_KEY, "", {}, 403, "NotPermitted"),
    (AGENT_KEY, "", {"scope": "everything", "reason": "x"}, 403, "NotPermitted"),
    (AGENT_KEY, "/stop_0/lift", {"reason": "x"}, 403, "NotPermitted"),
    (REVIEWER_KEY, "", {"scope": "everything"}, 422, "RequestInvalid"),
    (REVIEWER_KEY, "", {"scope": "everything", "reason": " "}, 422, "ReasonUnfit"),
    (REVIEWER_KEY, "", {"scope": "all", "reason": "x"}, 422, "RequestInvalid"),
    (REVIEWER_KEY, "", {"scope": "everything", "target": "pay", "reason": "x"}, 422, "RequestInvalid"),
    (REVIEWER_KEY, "", {"scope": "tool", "target": "modify", "reason": "x"}, 404, "TargetUnknown"),
    (REVIEWER_KEY, "", {"scope": "server", "target": "far", "reason": "x"}, 404, "TargetUnknown"),
    (REVIEWER_KEY, "/stop_0/lift", {"reason": "x"}, 404, "StopNotFound"),
]


async def test_only_people_stop_and_lift_and_every_mistake_has_the_one_shape(gateway: GatewayProcess) -> None:
    """Nothing is stopped after all of them."""
    for key, path, body, status, name in REFUSALS:
        answer = await ask(gateway, path, key=key, **body)
        assert (answer.status_code, answer.json()["error"]) == (status, name), answer.text
    listed = await ask(gateway)
    assert listed.json() == {"in_force": [], "newest": []}


async def test_a_stop_is_listed_by_every_way_and_is_one_when_it_is_said_twice(
    gateway: GatewayProcess,
) -> None:
    """201, then 200 with the first; /readyz names it, and is ready all the same."""
    stop_id = await stop(gateway, "tool", "modify_welfare_record")
    again = await ask(gateway, scope="tool", target="modify_welfare_record", reason="another")
    assert again.status_code == 200 and again.json()["stop_id"] == stop_id
    assert again.json()["reason"] == "fire in the cellar" and again.json()["stopped_by"] == "Sarah"
    [listed] = (await ask(gateway)).json()["in_force"]
    assert listed == again.json()
    async with httpx.AsyncClient(timeout=60) as client:
        ready = await client.get(f"{gateway.url}/readyz")
    assert ready.status_code == 200 and ready.json()["ready"]
    [shown] = ready.json()["stops"]
    assert (shown["scope"], shown["target"]) == ("tool", "modify_welfare_record") and "reason" not in shown
    status, output, _ = await command(gateway, "list")
    assert status == 0 and output.startswith(f"{stop_id}: Sarah stopped the tool modify_welfare_record at ")
    await lift(gateway, stop_id)
    [newest] = (await ask(gateway)).json()["newest"]
    assert (newest["lifted_by"], newest["lift_reason"]) == ("Sarah", "the fire is out")
    log = gateway.newest_log()
    assert log.count(f"{stop_id}: Sarah stopped the tool modify_welfare_record at ") == 1
    assert log.count(f"{stop_id}: Sarah lifted the stop of the tool modify_welfare_record. Reason: the") == 1


async def test_the_command_stops_a_gateway_that_runs_and_the_ledger_holds(gateway: GatewayProcess) -> None:
    """Stopped by its process and by others while calls are made; the chain has no gap, also at a restart."""
    async with gateway.agent() as agent:
        by_command = partial(command, gateway, "everything", "--reason", "fire")
        status, output, errors = await while_calls_run(agent, by_command)
        assert status == 0, errors
        stop_id = output.partition(":")[0]
        for _ in range(10):
            refused = text_of(await call(agent, "check_status", beneficiary_id="BEN-123"))
            assert refused.startswith(REFUSED)
            await lift_elsewhere(gateway, stop_id)
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
            stop_id = await while_calls_run(agent, partial(stop_elsewhere, gateway, Scope.EVERYTHING))
    entries = list(entries_in(gateway.data))
    assert ledger.verify(entries) == len(entries)
    stopped = [entry for entry in entries if entry["action"].startswith("stop.")]
    assert len(stopped) == 21 and {entry["actor"] for entry in stopped} == {"operator:olga"}
    await gateway.stop()
    await gateway.start()  # which compares the ledger with the note of what was acknowledged


async def while_calls_run(agent: Any, act: Callable[[], Awaitable[Any]]) -> Any:
    """Do something while an agent calls on and on."""
    acting = asyncio.ensure_future(act())
    while not acting.done():
        await call(agent, "check_status", beneficiary_id="BEN-125")
    return await acting
