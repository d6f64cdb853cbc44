"""The path of one call, seen from outside: a real agent, a real gateway process, a real reviewer."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from gateway_process import GatewayProcess, call, outcome, reference_in, text_of
from kept import entries_in

EXTENSION = {"beneficiary_id": "BEN-123", "reason": "hospital stay"}


@pytest.mark.parametrize("sse", [True, False], ids=["sse", "http"])
async def test_a_low_risk_call_is_answered_with_the_tools_own_result(
    gateway: GatewayProcess, sse: bool
) -> None:
    """Reading a record needs no person."""
    async with gateway.agent(sse=sse) as agent:
        result = await call(agent, "check_status", beneficiary_id="BEN-123")
    assert not result.is_error
    assert result.structured_content["repayment_due"] == "2027-02-01"


@pytest.mark.parametrize("sse", [True, False], ids=["sse", "http"])
async def test_an_approved_call_changes_the_record_and_the_agent_reads_the_result(
    gateway: GatewayProcess, sse: bool
) -> None:
    """The whole path over both transports."""
    async with gateway.agent(sse=sse) as agent:
        case_id = reference_in(await call(agent, "request_payment_extension", **EXTENSION))
        response = await gateway.decide(case_id)
        assert response.json() == {"status": "Signal Sent", "decision": "APPROVED", "event_id": case_id}
        result = await outcome(agent, case_id)
        assert "now due on 2027-03-03" in text_of(result)
        status = await call(agent, "check_status", beneficiary_id="BEN-123")
    assert status.structured_content["repayment_due"] == "2027-03-03"


async def test_a_rejected_call_changes_nothing_and_the_agent_reads_the_reason(
    gateway: GatewayProcess,
) -> None:
    """The reviewer's words reach the agent."""
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "request_payment_extension", **EXTENSION))
        await gateway.decide(case_id, "REJECTED", reason="the file is incomplete")
        result = await outcome(agent, case_id)
        assert not result.is_error
        assert "REJECTED" in text_of(result) and "the file is incomplete" in text_of(result)
        status = await call(agent, "check_status", beneficiary_id="BEN-123")
    assert status.structured_content["repayment_due"] == "2027-02-01"
    assert status.structured_content["history"] == []


async def test_what_is_approved_by_itself_takes_no_step_and_a_reviewer_is_told_of_the_rest_once(
    gateway: GatewayProcess,
) -> None:
    """A step costs a call of the workflow; a run that is replayed must not tell the reviewer again."""
    async with gateway.agent() as agent:
        await call(agent, "check_status", beneficiary_id="BEN-123")
        assert steps_taken(gateway) == []
        case_id = reference_in(await call(agent, "request_payment_extension", **EXTENSION))
        await gateway.decide(case_id)
        assert "EXECUTED" in text_of(await outcome(agent, case_id))
    assert "assess" in steps_taken(gateway)
    assert gateway.newest_log().count(f"A call waits for a person: {case_id}") == 1


def steps_taken(gateway: GatewayProcess) -> list[str]:
    """The steps of which the engine keeps what they brought, in order."""
    with closing(sqlite3.connect(gateway.data / "engine.db")) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM memos ORDER BY run_id, position")]


async def test_a_decision_in_the_moment_after_the_reference_is_never_lost(gateway: GatewayProcess) -> None:
    """100 times: the decision is posted as soon as the reference is there, and takes effect."""
    async with gateway.agent() as agent:
        for number in range(100):
            case_id = reference_in(
                await call(
                    agent,
                    "modify_welfare_record",
                    beneficiary_id="BEN-123",
                    changes={"monthly_amount_eur": number},
                )
            )
            assert (await gateway.decide(case_id)).status_code == 200
            result = await outcome(agent, case_id)
            assert "EXECUTED" in text_of(result), f"number {number}: {text_of(result)}"
        status = await call(agent, "check_status", beneficiary_id="BEN-123")
    assert len(status.structured_content["history"]) == 100


async def test_approving_one_of_fifty_runs_one_and_leaves_forty_nine(gateway: GatewayProcess) -> None:
    """An approval releases its own case and no other."""
    async with gateway.agent() as agent:
        results = await asyncio.gather(
            *(
                call(
                    agent,
                    "modify_welfare_record",
                    beneficiary_id="BEN-124",
                    changes={"monthly_amount_eur": number},
                )
                for number in range(50)
            )
        )
        references = [reference_in(result) for result in results]
        assert len(set(references)) == 50
        await gateway.decide(references[17])
        assert "EXECUTED" in text_of(await outcome(agent, references[17]))
        others = [
            text_of(await outcome(agent, case_id, wait_seconds=0))
            for case_id in references
            if case_id != references[17]
        ]
        status = await call(agent, "check_status", beneficiary_id="BEN-124")
    assert all(text.startswith("PENDING REVIEW") for text in others) and len(others) == 49
    # Nor was another run woken: the wait has a match expression of its own.
    actions = {entry["action"] for entry in entries_in(gateway.data)}
    assert "decide.event_without_decision" not in actions
    assert status.structured_content["monthly_amount_eur"] == 17
    assert len(status.structured_content["history"]) == 1
