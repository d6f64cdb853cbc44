"""What an agent answers to a tool is judged with its call: by rules, by plans, and by where it came from."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from acceptance.task_client import task_client
from gateway_process import AGENT_KEY, REVIEWER_KEY, GatewayProcess, text_of
from kept import rows_in

from atlas.instants import instant_text, now

SCRIPT = Path(__file__).with_name("gateway_that_pays.py")
READING = """
[[rule]]
tool = "read_page"
score = 5
trust = "outside"
[[rule]]
tool = "*"
name = "a value from outside"
when = "origin.exists(name, origin[name].outside)"
floor = 70
"""
BY_TOOL = READING + '[[rule]]\ntool = "pay"\nscore = 20\n'
BY_AMOUNT = '[[rule]]\ntool = "pay"\nwhen = "args.amount > 100{more}"\nscore = 90\n' + BY_TOOL
WITH_PERSON = READING + '[[rule]]\ntool = "pay"\nscore = 75\n'
LANDLORD = {"payee": "the landlord", "amount": 10}


@asynccontextmanager
async def gateway_of(directory: Path, policy: str) -> AsyncIterator[GatewayProcess]:
    """A gateway under a policy."""
    (directory / "policy.toml").write_text(policy)
    process = GatewayProcess(
        directory,
        SCRIPT,
        ATLAS_POLICY=str(directory / "policy.toml"),
        ATLAS_REVIEWER_KEY=f"anna:{REVIEWER_KEY}",
    )
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def paid_to(gateway: GatewayProcess, account: str, *, reads: bool) -> str:
    """What an agent is told that pays, and says when it is asked to which account."""
    async with task_client(gateway.url, AGENT_KEY, declares=False) as agent:
        if reads:
            await agent.call_tool("read_page", {"url": "https://example.org/pay"})
        asks: Any = await agent.session.call_tool("pay", LANDLORD, allow_input_required=True)
        answers: Any = {"to": {"action": "accept", "content": {"account": account}}}
        told = await agent.session.call_tool(
            "pay", LANDLORD, input_responses=answers, request_state=getattr(asks, "request_state", None)
        )
        return text_of(told)


@pytest.mark.parametrize(
    ("policy", "account", "reads", "told"),
    [
        (BY_TOOL, "DE1", True, "paid"),
        (BY_TOOL, "DE89370400440532013000", True, "PENDING REVIEW"),  # as an argument with that value would
        (BY_AMOUNT.format(more=""), "DE1", False, "PENDING REVIEW"),  # it was written without answers in mind
        (BY_AMOUNT.format(more=" || has(args.input_responses.to.rate)"), "DE1", False, "paid"),
    ],
    ids=["by its tool", "a value from outside", "a condition on arguments", "a condition that knows answers"],
)
async def test_an_answer_is_judged_as_the_arguments_are(
    tmp_path: Path, policy: str, account: str, reads: bool, told: str
) -> None:
    """Else an agent would say there what a rule looks for in the arguments."""
    async with gateway_of(tmp_path, policy) as gateway:
        assert (await paid_to(gateway, account, reads=reads)).startswith(told)
        [(trace,)] = rows_in(
            gateway.data,
            "SELECT trace FROM assessments JOIN cases USING (case_id) WHERE continuation IS NOT NULL",
        )
        assert "input_responses.to.content.account" in [one["path"] for one in json.loads(trace)["origins"]]
    assert (tmp_path / "paid.txt").exists() is (told == "paid")


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (None, "PENDING REVIEW"),
        ("args.amount <= 10", "PENDING REVIEW"),
        ("args.amount <= 10 && args.input_responses.to.content.account == 'DE1'", "paid"),
    ],
)
async def test_a_plan_lets_no_answer_pass_of_which_its_condition_says_nothing(
    tmp_path: Path, condition: str | None, told: str
) -> None:
    """A person who made it read the arguments alone."""
    async with gateway_of(tmp_path, WITH_PERSON) as gateway:
        wish = {
            "tool": "pay",
            "condition": condition,
            "most_calls": 5,
            "ends_at": instant_text(now() + timedelta(hours=8)),
            "reason": "small payments",
        }
        key = {"Authorization": f"Bearer {REVIEWER_KEY}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=key, timeout=60) as person:
            made = await person.post("/plans", json=wish)
            assert made.status_code == 201, made.text
        assert (await paid_to(gateway, "DE1", reads=False)).startswith(told)
