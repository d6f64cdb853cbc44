"""Judgement in the whole path: what the policy denies, several reviewers, claims, and a policy read again."""

import os
import signal
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from gateway_process import REVIEWER_KEY, GatewayProcess, call, eventually, outcome, reference_in, text_of
from kept import store_by_hand

CHANGE = {"beneficiary_id": "BEN-124", "changes": {"status": "suspended"}}
OTHER_REVIEWER_KEY = "other-reviewer-key-of-the-tests"
DENY = '[[rule]]\ntool = "modify_welfare_record"\ndeny = true\nrationale = "Not by machines."\n'
READ = '[[rule]]\ntool = "check_status"\nscore = 5\n'
BOTH = """
[[rule]]
tool = "modify_welfare_record"
score = 90
approvals = 2
reviewers = ["sarah", "desk"]
"""


@pytest.fixture
async def strict(tmp_path: Path) -> GatewayProcess:
    """A gateway, not started, with a policy of its own and three reviewers."""
    policy = tmp_path / "policy.toml"
    policy.write_text(READ + BOTH)
    keys = f"sarah:{REVIEWER_KEY},desk:{OTHER_REVIEWER_KEY},guest:{OTHER_REVIEWER_KEY}2"
    return GatewayProcess(tmp_path, ATLAS_POLICY=str(policy), ATLAS_REVIEWER_KEY=keys)


async def readiness(gateway: GatewayProcess) -> dict[str, dict[str, str]]:
    """What /readyz says."""
    async with httpx.AsyncClient(timeout=60) as client:
        return dict((await client.get(f"{gateway.url}/readyz")).json())


async def test_what_the_policy_denies_is_refused_at_once_and_no_key_lifts_it(strict: GatewayProcess) -> None:
    """The agent reads why."""
    (strict.directory / "policy.toml").write_text(READ + DENY)
    await strict.start()
    try:
        async with strict.agent() as agent:
            refused = await call(agent, "modify_welfare_record", **CHANGE)
            assert refused.is_error and text_of(refused).startswith("DENIED (Ref: evt_")
            assert "Not by machines." in text_of(refused)
            case_id = refused.structured_content["case_id"]
            answer = await strict.decide(case_id)
            assert (answer.status_code, answer.json()["error"]) == (409, "CaseFinished")
            record = await call(agent, "check_status", beneficiary_id="BEN-124")
            assert record.structured_content["history"] == []
    finally:
        await strict.kill()


async def test_two_reviewers_decide_where_the_policy_asks_for_two(strict: GatewayProcess) -> None:
    """By their keys: no one signs for another, who is not named cannot approve, a restart forgets none."""
    await strict.start()
    try:
        async with strict.agent() as agent:
            case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
            forged = await strict.decide(case_id, reviewer="desk")
            assert (forged.status_code, forged.json()["error"]) == (403, "NotPermitted")
            guest = await strict.decide(case_id, key=f"{OTHER_REVIEWER_KEY}2")
            assert (guest.status_code, guest.json()["error"]) == (403, "RuleRefuses")
            for _ in range(2):
                first = await strict.decide(case_id)
                assert first.json()["status"] == "Approval Recorded, Further Approvals Needed"
                assert first.json()["approvals"] == {"given": 1, "needed": 2}
            waiting = await outcome(agent, case_id, wait_seconds=1)
            assert waiting.structured_content["status"] == "PENDING_REVIEW"
        await strict.kill()
        await strict.start()
        async with strict.agent() as agent:
            assert (await strict.decide(case_id, key=OTHER_REVIEWER_KEY)).json()["status"] == "Signal Sent"
            assert "EXECUTED" in text_of(await outcome(agent, case_id))
    finally:
        await strict.kill()


async def test_a_policy_that_asks_for_reviewers_who_do_not_exist_does_not_start(tmp_path: Path) -> None:
    """A call could wait for them for ever."""
    policy = tmp_path / "policy.toml"
    policy.write_text(READ + BOTH)
    gateway = GatewayProcess(tmp_path, ATLAS_POLICY=str(policy))
    with pytest.raises(AssertionError, match="the gateway ended"):
        await gateway.start()
    assert "cannot be used" in gateway.newest_log() and "Traceback" not in gateway.newest_log()


@pytest.mark.sqlite("a changed file is not in force with PostgreSQL: tests/acceptance/test_one_policy.py")
async def test_a_policy_is_read_again_on_sighup_and_a_wrong_one_is_not_taken(strict: GatewayProcess) -> None:
    """/readyz names the digest of the one in force, and says why the newer one is not."""
    await strict.start()
    try:
        path = strict.directory / "policy.toml"
        before = (await readiness(strict))["policy"]
        path.write_text(READ + DENY)
        os.kill(strict.process_id, signal.SIGHUP)

        async def has_changed() -> bool:
            return (await readiness(strict))["policy"]["sha256"] != before["sha256"]

        await eventually(has_changed)
        async with strict.agent() as agent:
            refused = await call(agent, "modify_welfare_record", **CHANGE)
            assert text_of(refused).startswith("DENIED")
        after = (await readiness(strict))["policy"]
        path.write_text('[[rule]]\ntool = "check_status"\nscore = 101\n')
        os.kill(strict.process_id, signal.SIGHUP)

        async def has_problem() -> bool:
            return "problem" in (await readiness(strict))["policy"]

        await eventually(has_problem)
        assert (await readiness(strict))["policy"]["sha256"] == after["sha256"]
        assert "line 3" in (await readiness(strict))["policy"]["problem"]
    finally:
        await strict.kill()


@pytest.mark.sqlite("a changed file is not in force with PostgreSQL: tests/acceptance/test_one_policy.py")
async def test_many_hangups_at_once_neither_end_the_gateway_nor_lose_the_last_policy(
    strict: GatewayProcess,
) -> None:
    """One reading at a time, and the last signal is heard."""
    path = strict.directory / "policy.toml"
    await strict.start()
    try:
        for number in range(500):
            if number % 50 == 0:
                path.write_text(READ + BOTH + f"# {number}\n")
            os.kill(strict.process_id, signal.SIGHUP)
        path.write_text(READ + DENY)
        os.kill(strict.process_id, signal.SIGHUP)
        digest = sha256(path.read_bytes()).hexdigest()

        async def is_in_force() -> bool:
            return (await readiness(strict))["policy"]["sha256"] == digest

        await eventually(is_in_force)
        path.unlink()
        path.mkdir()
        os.kill(strict.process_id, signal.SIGHUP)

        async def has_problem() -> bool:
            return "problem" in (await readiness(strict))["policy"]

        await eventually(has_problem)
    finally:
        await strict.kill()


async def test_what_the_agent_claims_is_recorded_and_the_policy_can_ask_for_it(tmp_path: Path) -> None:
    """As `_meta` of the call: its intent, and what its user asked for."""
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[[rule]]\ntool = "check_status"\nwhen = "intent != null"\nscore = 5\n'
        '[[rule]]\ntool = "check_status"\nscore = 80\n'
    )
    gateway = GatewayProcess(tmp_path, ATLAS_POLICY=str(policy))
    await gateway.start()
    try:
        async with gateway.agent() as agent:
            claims = {"io.atlas/intent": "look up the due date", "io.atlas/user_request": 7}
            told = await agent.call_tool("check_status", {"beneficiary_id": "BEN-124"}, meta=claims)
            assert told.structured_content["beneficiary_id"] == "BEN-124"
            silent = await call(agent, "check_status", beneficiary_id="BEN-124")
            assert text_of(silent).startswith("PENDING REVIEW")
        with closing(store_by_hand(gateway.data)) as database:
            claimed = database.execute("SELECT intent, user_request FROM cases ORDER BY opened_at").fetchall()
        assert claimed == [("look up the due date", None), (None, None)]  # a request that is no text is none
    finally:
        await gateway.kill()
