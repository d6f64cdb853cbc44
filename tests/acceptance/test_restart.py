"""The gateway is killed with SIGKILL at every moment of the path; nothing is lost and nothing runs twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_process import (
    ROOT,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    text_of,
)
from kept import entries_in, store_by_hand

from atlas import ledger

MORTAL = Path(__file__).parent / "mortal_gateway.py"
CHANGE = {"beneficiary_id": "BEN-125", "changes": {"monthly_amount_eur": 700}}
SHORT_EXTENSION = {"beneficiary_id": "BEN-125", "days": 3, "reason": "illness", "documents": ["D-1"]}


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway that is not started yet; `start(ATLAS_TEST_DIE=…)` starts one that will die."""
    gateway = GatewayProcess(tmp_path, script=MORTAL)
    yield gateway
    with contextlib.suppress(AssertionError):
        await gateway.kill()


def only_case(gateway: GatewayProcess) -> str:
    """The reference of the one case there is that changes something."""
    with contextlib.closing(store_by_hand(gateway.data)) as connection:
        rows = connection.execute("SELECT case_id FROM cases WHERE tool_name != 'check_status'").fetchall()
    assert len(rows) == 1
    return str(rows[0][0])


async def call_until_death(gateway: GatewayProcess, tool: str, arguments: dict[str, Any]) -> None:
    """Make a call whose answer is lost because the gateway dies."""
    with contextlib.suppress(Exception):
        async with gateway.agent() as agent:
            await asyncio.wait_for(call(agent, tool, **arguments), WAIT_SECONDS)
    await gateway.ended()


async def history(gateway: GatewayProcess) -> list[str]:
    """What happened to the record."""
    async with gateway.agent() as agent:
        status = await call(agent, "check_status", beneficiary_id="BEN-125")
    return list(status.structured_content["history"])


def verify_ledger(gateway: GatewayProcess, case_id: str) -> list[str]:
    """The actions on record for a case, in order, after the whole chain has been verified."""
    entries = list(entries_in(gateway.data))
    assert ledger.verify(entries) == len(entries)
    return [entry["action"] for entry in entries if entry["case_id"] == case_id]


BEFORE_A_PERSON_DECIDES = [
    "before atlas.workflow.courier Courier.announce",  # recorded, and no one was told
    "after atlas.workflow.courier Courier._deliver",  # Inngest has the event
    "before atlas.path AssessAndDecide.assess",  # the run has begun
    "before atlas.assess Assessments._judge",
    "after atlas.path AssessAndDecide.assess",  # judged and put before a person, and the engine does not know
    "before atlas.people.notices Notifier.tell",
]


@pytest.mark.parametrize("moment", BEFORE_A_PERSON_DECIDES)
async def test_a_call_that_waits_survives_a_kill_and_runs_once_when_approved(
    mortal: GatewayProcess, moment: str
) -> None:
    """Killed on the way to the review, started again, approved: executed exactly once."""
    await mortal.start(ATLAS_TEST_DIE=moment)
    await call_until_death(mortal, "modify_welfare_record", CHANGE)
    await restart(mortal)
    case_id = only_case(mortal)
    assert (await mortal.decide(case_id)).status_code == 200
    async with mortal.agent() as agent:
        assert "EXECUTED" in text_of(await outcome(agent, case_id))
    assert len(await history(mortal)) == 1
    assert verify_ledger(mortal, case_id).count("execute.started") == 1


async def restart(gateway: GatewayProcess) -> None:
    """Start again, as an operator would: without the deadly moment."""
    gateway.script = ROOT / "gateway.py"
    await gateway.start()


async def test_a_call_killed_while_it_waits_runs_once_when_approved(gateway: GatewayProcess) -> None:
    """The plain case: pending, killed, started again, approved."""
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
    await gateway.kill()
    await gateway.start()
    await gateway.decide(case_id)
    async with gateway.agent() as agent:
        assert "EXECUTED" in text_of(await outcome(agent, case_id))
    assert len(await history(gateway)) == 1


async def test_a_decision_that_was_written_before_the_kill_takes_effect_without_being_repeated(
    mortal: GatewayProcess,
) -> None:
    """The reviewer got no answer, but the decision was on disk."""
    await mortal.start(ATLAS_TEST_DIE="after atlas.decide Decisions.record")
    async with mortal.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
    with pytest.raises(httpx.TransportError):
        await mortal.decide(case_id)
    await mortal.ended()
    await restart(mortal)
    async with mortal.agent() as agent:
        assert "EXECUTED" in text_of(await outcome(agent, case_id))
    assert len(await history(mortal)) == 1


AROUND_THE_EXECUTION = [
    # moment, what the agent is told, how often the tool ran
    ("before atlas.execute Execution.execute", "EXECUTED", 1),  # approved, not begun
    ("before atlas.execute Execution._claim", "EXECUTED", 1),
    (
        "before atlas.agents.calling ToolCaller.call",
        "OUTCOME UNKNOWN",
        0,
    ),  # begun, tool not reached
    (
        "after atlas.agents.calling ToolCaller.call",
        "OUTCOME UNKNOWN",
        1,
    ),  # the tool ran, its answer was not kept
    ("after atlas.execute Execution._record", "EXECUTED", 1),  # kept, and the engine does not know
]


@pytest.mark.parametrize(("moment", "told", "times"), AROUND_THE_EXECUTION)
async def test_an_approved_call_killed_around_its_execution_never_runs_twice(
    mortal: GatewayProcess, moment: str, told: str, times: int
) -> None:
    """What was begun is not repeated: its outcome is unknown, and the agent is told so."""
    await mortal.start(ATLAS_TEST_DIE=moment)
    async with mortal.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
    await mortal.approve_until_death(case_id)
    await restart(mortal)
    async with mortal.agent() as agent:
        assert told in text_of(await outcome(agent, case_id))
    assert len(await history(mortal)) == times
    assert verify_ledger(mortal, case_id).count("execute.started") == 1


@pytest.mark.parametrize(("moment", "told", "times"), AROUND_THE_EXECUTION)
async def test_an_auto_approved_call_killed_around_its_execution_never_runs_twice(
    mortal: GatewayProcess, moment: str, told: str, times: int
) -> None:
    """The same for a call that needed no person; the agent finds the outcome by asking again."""
    await mortal.start(ATLAS_TEST_DIE=moment)
    await call_until_death(mortal, "request_extension", SHORT_EXTENSION)
    await restart(mortal)
    case_id = only_case(mortal)
    async with mortal.agent() as agent:
        assert told in text_of(await outcome(agent, case_id))
    assert len(await history(mortal)) == times


async def test_a_call_that_waits_expires_although_the_gateway_was_down(gateway: GatewayProcess) -> None:
    """The time to decide runs on while nothing runs, and an approval after it is refused."""
    await gateway.kill()
    await gateway.start(ATLAS_REVIEW_TIMEOUT="8s")  # the agent is told that it waits, on any machine
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
    await gateway.kill()
    await gateway.start()

    async def expired() -> bool:
        async with gateway.agent() as agent:
            return "EXPIRED" in text_of(await outcome(agent, case_id, wait_seconds=5))

    await eventually(expired)
    assert (await gateway.decide(case_id)).status_code == 409
    assert await history(gateway) == []
