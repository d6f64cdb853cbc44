"""A person who owns an agent decides on its calls through the real gateway."""

from pathlib import Path

from gateway_process import AGENT_KEY, OTHER_AGENT_KEY, GatewayProcess, call, reference_in, status_of

TOOL = "modify_welfare_record"
ANNA, BEN = "reviewer-key-of-anna", "reviewer-key-of-ben"


async def test_the_webhook_takes_no_approval_of_an_owner_and_its_answer_says_why(tmp_path: Path) -> None:
    """The other agent's calls, and rejections, are open to the same person."""
    keys = {"ATLAS_REVIEWER_KEY": f"anna:{ANNA},ben:{BEN}", "ATLAS_AGENT_OWNERS": "agent:Anna"}
    gateway = GatewayProcess(tmp_path, **keys)
    await gateway.start()
    try:
        cases = []
        for key in (AGENT_KEY, AGENT_KEY, OTHER_AGENT_KEY):
            async with gateway.agent(key) as agent:
                number = len(cases)
                changes = {"status": ["active", "suspended", "ended"][number]}
                sent = await call(agent, TOOL, beneficiary_id="BEN-123", changes=changes)
                cases.append(reference_in(sent))
        refused = await gateway.decide(cases[0], key=ANNA)
        assert refused.status_code == 403 and "anna owns the agent agent" in refused.json()["detail"]
        assert (await gateway.decide(cases[0], key=BEN)).status_code == 200
        assert (await gateway.decide(cases[1], "REJECTED", key=ANNA)).status_code == 200
        assert (await gateway.decide(cases[2], key=ANNA)).status_code == 200
        assert status_of(gateway, cases[1]) == "REJECTED"
    finally:
        await gateway.kill()


async def test_the_one_key_without_a_name_approves_no_call_of_an_agent_that_has_an_owner(
    tmp_path: Path,
) -> None:
    """It could claim any name."""
    gateway = GatewayProcess(tmp_path, ATLAS_AGENT_OWNERS="agent:anna")
    await gateway.start()
    try:
        async with gateway.agent() as agent:
            sent = await call(agent, TOOL, beneficiary_id="BEN-123", changes={"status": "ended"})
            case = reference_in(sent)
        refused = await gateway.decide(case, reviewer="ben")
        assert refused.status_code == 403 and "a name that is checked" in refused.json()["detail"]
        assert status_of(gateway, case) == "PENDING_REVIEW"
    finally:
        await gateway.kill()
