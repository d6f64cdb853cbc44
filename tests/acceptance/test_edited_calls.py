"""A call that a person changed stays under what the policy asks for both calls, also judged again."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from desk_visitor import operator
from gateway_process import GatewayProcess, call, eventually, reference_in, status_of

KEYS = {name: f"{name}-key-0123456789" for name in ("anna", "ben", "cleo")}
POLICY = """
[[rule]]
tool = "request_extension"
when = "args.days > 300"
score = 90
approvals = 2
requires_training = "benefits"
[[rule]]
tool = "request_extension"
score = 80
may_edit = ["days"]
"""
ASKED = {"beneficiary_id": "BEN-123", "days": 360, "reason": "illness", "documents": ["D-17"]}


@pytest.mark.sqlite("with PostgreSQL another file is not in force by a signal: test_one_policy.py")
async def test_a_comment_in_the_policy_takes_nothing_away_of_what_was_asked_for_the_agents_call(
    tmp_path: Path,
) -> None:
    """The case is judged again then; the changed call alone would need one untrained person."""
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    keys = ",".join(f"{name}:{key}" for name, key in KEYS.items())
    gateway = GatewayProcess(tmp_path, ATLAS_POLICY=str(policy), ATLAS_REVIEWER_KEY=keys)
    await gateway.start()
    try:
        for name in ("anna", "ben"):
            await operator(gateway, "train", name, "benefits", "--what", "a course", "--until", "30d")
        async with gateway.agent() as agent:
            case_id = reference_in(await call(agent, "request_extension", **ASKED))
        await eventually(lambda: _waits(gateway, case_id))
        changed = ASKED | {"days": 299}
        edited = await gateway.decide(case_id, key=KEYS["anna"], arguments=changed)
        assert edited.json()["approvals"] == {"given": 1, "needed": 2}, edited.text
        before = gateway.newest_log()
        policy.write_text(f"# a comment\n{POLICY}")
        os.kill(gateway.process_id, signal.SIGHUP)
        await eventually(lambda: _has_more(gateway, before))
        again = await gateway.decide(case_id, key=KEYS["ben"], round=2)
        assert again.status_code == 409 and "nothing that concerns this call" in again.text, again.text
        refused = await gateway.decide(case_id, key=KEYS["cleo"], round=3)
        assert refused.status_code == 403 and "takes a training for benefits" in refused.text, refused.text
        first = await gateway.decide(case_id, key=KEYS["ben"], round=3)
        assert first.json()["approvals"] == {"given": 1, "needed": 2}, first.text
        second = await gateway.decide(case_id, key=KEYS["anna"], round=3)
        assert second.status_code == 200 and "approvals" not in second.json(), second.text
    finally:
        await gateway.kill()


async def _waits(gateway: GatewayProcess, case_id: str) -> bool:
    return await asyncio.to_thread(status_of, gateway, case_id) == "PENDING_REVIEW"


async def _has_more(gateway: GatewayProcess, before: str) -> bool:
    return "policy" in gateway.newest_log().removeprefix(before)
