"""What people can say beside yes and no, end to end: an edit and a question, by each way of agents."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_of_test import ran_beside
from gateway_process import (
    OTHER_AGENT_KEY,
    GatewayProcess,
    call,
    eventually,
    reference_in,
    status_of,
    text_of,
)
from kept import entries_in, store_by_hand

from atlas.instants import read_instant

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANNA, BEN = "key-of-anna-who-says-more", "key-of-ben-who-says-more"
POLICY = """
[[rule]]
tool = "check_status"
score = 5
[[rule]]
tool = "request_extension"
when = "args.days > 300"
deny = true

[[rule]]
tool = "request_extension"
score = 80
may_edit = ["days"]
answer_time = "4h"

[[rule]]
tool = "modify_welfare_record"
score = 95
approvals = 2
may_edit = ["changes"]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for all tests of this module."""
    directory = tmp_path_factory.mktemp("said")
    policy = directory / "policy.toml"
    policy.write_text(POLICY)
    process = GatewayProcess(directory, ATLAS_POLICY=str(policy), ATLAS_REVIEWER_KEY=f"anna:{ANNA},ben:{BEN}")
    await process.start()
    yield process
    await process.kill()


async def waiting(gateway: GatewayProcess, reason: str, days: int = 90) -> str:
    """The reference of a call for an extension."""
    async with gateway.agent() as agent:
        return reference_in(
            await call(agent, "request_extension", beneficiary_id="BEN-123", days=days, reason=reason)
        )


async def shown(gateway: GatewayProcess, reference: str, key: str = ANNA) -> dict[str, Any]:
    """What a person's program reads of a case."""
    async with httpx.AsyncClient(timeout=60) as client:
        headers = {"Authorization": f"Bearer {key}"}
        return dict((await client.get(f"{gateway.url}/cases/{reference}", headers=headers)).json())


def entries(gateway: GatewayProcess, reference: str, action: str) -> list[dict[str, Any]]:
    """The ledger's entries of a case."""
    rows = entries_in(gateway.data)
    return [row for row in rows if row["case_id"] == reference and row["action"] == action]


async def outcome(gateway: GatewayProcess, reference: str, seconds: int = 20, **more: Any) -> Any:
    """What get_outcome says."""
    async with gateway.agent(**more) as agent:
        question = {"ref": reference, "wait_seconds": seconds}
        return await agent.call_tool("get_outcome", question, raise_on_error=False)


async def executed(gateway: GatewayProcess, reference: str) -> None:
    """Wait until a case ran."""
    await eventually(lambda: _is_executed(gateway, reference))


async def _is_executed(gateway: GatewayProcess, reference: str) -> bool:
    return status_of(gateway, reference) == "EXECUTED"


async def test_an_edited_call_runs_with_what_was_approved_and_the_agent_is_told_by_each_way(
    running: GatewayProcess,
) -> None:
    """In get_outcome, in the same call again, and in the resource: as text and in a field."""
    reference = await waiting(running, "edit me")
    case = await shown(running, reference)
    assert case["ruling"]["may_edit"] == ["days"] and case["edit"] is None
    new = case["arguments"] | {"days": 30}
    answer = await running.decide(
        reference, key=ANNA, arguments=new, seen_sha256=case["seen_sha256"], reason="thirty are enough"
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "Signal Sent"
    await executed(running, reference)
    told = await outcome(running, reference)
    said = "A person changed the arguments: the tool was called with days = 30, and not with your value."
    assert said in text_of(told) and not told.is_error
    assert told.structured_content["called_with"] == new
    assert told.structured_content["changed"] == ["days"]
    assert "now due on" in told.structured_content["result"]
    async with running.agent() as agent:
        [content] = await agent.read_resource(f"atlas://cases/{reference}")
    assert json.loads(content.text)["called_with"] == new
    after = await shown(running, reference)
    assert after["arguments"] == new and after["edit"]["proposed"]["days"] == 90
    assert after["edit"]["changes"] == [{"path": "days", "before": 90, "after": 30}]
    assert after["arguments_sha256"] == after["decision"]["arguments_sha256"]
    [started] = entries(running, reference, "execute.started")
    assert started["detail"]["arguments_sha256"] == after["arguments_sha256"]


async def test_the_same_call_again_joins_its_case_and_is_told_what_ran(running: GatewayProcess) -> None:
    """By what the agent proposed it is the same call; the tool's own answer stands behind ours."""
    reference = await waiting(running, "same again")
    case = await shown(running, reference)
    await running.decide(reference, key=ANNA, arguments=case["arguments"] | {"days": 31})
    await executed(running, reference)
    async with running.agent() as agent:
        again = await call(agent, "request_extension", beneficiary_id="BEN-123", days=90, reason="same again")
    assert reference in text_of(again) and "days = 31" in text_of(again) and "now due on" in text_of(again)
    assert again.structured_content["called_with"]["days"] == 31
    assert len(entries(running, reference, "execute.started")) == 1


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"reason": "another"}, 403, "RuleRefuses"),
        ({"days": "30"}, 422, "RequestInvalid"),
        ({"days": 30.5}, 422, "RequestInvalid"),
        ({"days": 400}, 422, "RequestInvalid"),  # the tool takes 365 at most
        ({"days": 365}, 403, "RuleRefuses"),  # the policy denies that
        ({"days": 30, "documents": ["D-1"]}, 403, "RuleRefuses"),
        ({"days": 30, "beneficiary_id": "BEN-124"}, 403, "RuleRefuses"),
        ({"days": 30, "requestState": "x"}, 422, "RequestInvalid"),
    ],
)
async def test_an_edit_that_is_not_allowed_changes_nothing(
    running: GatewayProcess, change: dict[str, Any], status: int, error: str
) -> None:
    """For each thing that stands against it."""
    reference = await waiting(running, f"not so {json.dumps(change)}")
    before = await shown(running, reference)
    answer = await running.decide(reference, key=ANNA, arguments=before["arguments"] | change)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    after = await shown(running, reference)
    assert after["status"] == "PENDING_REVIEW" and after["arguments"] == before["arguments"]
    assert after["round"] == 1 and after["decision"] is None


async def test_a_rejection_changes_no_arguments(running: GatewayProcess) -> None:
    """Only an approval does."""
    reference = await waiting(running, "rejected edit")
    answer = await running.decide(reference, "REJECTED", key=ANNA, arguments={"days": 30})
    assert answer.status_code == 422
    assert status_of(running, reference) == "PENDING_REVIEW"


async def test_two_people_approve_the_changed_call(running: GatewayProcess) -> None:
    """The second one reads the difference, and says the round."""
    async with running.agent() as agent:
        told = await call(
            agent, "modify_welfare_record", beneficiary_id="BEN-123", changes={"monthly_amount_eur": 400}
        )
    reference = reference_in(told)
    case = await shown(running, reference)
    new = case["arguments"] | {"changes": {"monthly_amount_eur": 300}}
    first = await running.decide(reference, key=ANNA, arguments=new)
    assert first.json()["approvals"] == {"given": 1, "needed": 2}, first.text
    stale = await running.decide(reference, key=BEN)
    assert stale.status_code == 409 and "anna changed the arguments: changes" in stale.json()["detail"]
    seen = await shown(running, reference, BEN)
    assert seen["edit"]["changes"] == [{"path": "changes.monthly_amount_eur", "before": 400, "after": 300}]
    second = await running.decide(reference, key=BEN, round=2, seen_sha256=seen["seen_sha256"])
    assert second.json()["status"] == "Signal Sent"
    await executed(running, reference)
    async with running.agent() as agent:
        assert "300" in text_of(await call(agent, "check_status", beneficiary_id="BEN-123"))


async def test_an_edit_that_was_acknowledged_holds_after_a_kill(
    running: GatewayProcess, tmp_path: Path
) -> None:
    """Killed between the edit and the execution, the call runs once, with what was approved."""
    reference = await waiting(running, "killed in between")
    case = await shown(running, reference)
    await running.decide(reference, key=ANNA, arguments=case["arguments"] | {"days": 33})
    await running.kill()
    await running.start()
    await eventually(lambda: _has_ended(running, reference))
    after = await shown(running, reference)
    assert after["arguments"]["days"] == 33
    assert after["status"] in ("EXECUTED", "OUTCOME_UNKNOWN")
    started = entries(running, reference, "execute.started")
    assert {entry["detail"]["arguments_sha256"] for entry in started} == {after["arguments_sha256"]}
    assert len(entries(running, reference, "execute.finished")) <= 1


async def _has_ended(gateway: GatewayProcess, reference: str) -> bool:
    return status_of(gateway, reference) in ("EXECUTED", "OUTCOME_UNKNOWN")


async def asked(gateway: GatewayProcess, reference: str, text: str, key: str = ANNA) -> httpx.Response:
    """A question of a person."""
    return await gateway.decide(reference, "INFORMATION_REQUESTED", key=key, reason=text)


async def test_a_question_reaches_the_agent_and_its_answer_reaches_the_person(
    running: GatewayProcess,
) -> None:
    """The call waits meanwhile, four hours longer, as the rule says; the answer is a claim."""
    reference = await waiting(running, "ask me")
    before = await shown(running, reference)
    answer = await asked(running, reference, "Which letter says so?")
    assert answer.json() == {
        "status": "Agent Asked",
        "decision": "INFORMATION_REQUESTED",
        "event_id": reference,
    }
    told = await outcome(running, reference)
    assert text_of(told).startswith(f"INFORMATION REQUESTED (Ref: {reference}).")
    assert "They ask: “Which letter says so?”" in text_of(told) and "anna" not in text_of(told)
    [question] = told.structured_content["questions"]
    assert question["question"] == "Which letter says so?" and "anna" not in str(told.structured_content)
    async with running.agent() as agent:
        again = await call(agent, "request_extension", beneficiary_id="BEN-123", days=90, reason="ask me")
        assert text_of(again).startswith("INFORMATION REQUESTED")
        [content] = await agent.read_resource(f"atlas://cases/{reference}")
        assert json.loads(content.text)["questions"]
        given = await call(agent, "give_information", ref=reference, text="The one of 3 May.\u202e\nD-17")
        assert text_of(given).startswith(f"PENDING REVIEW (Ref: {reference})")
        refused = await agent.call_tool(
            "give_information", {"ref": reference, "text": "once more"}, raise_on_error=False
        )
        assert refused.is_error and "No person asks anything" in text_of(refused)
    after = await shown(running, reference)
    [said] = after["questions"]
    assert said["answer"] == "The one of 3 May.\nD-17" and after["status"] == "PENDING_REVIEW"
    assert after["decision"] is None and after["round"] == 1
    hours = hours_between(before["expires_at"], after["expires_at"])
    assert hours == 4
    assert len(entries(running, reference, "decide.question_asked")) == 1
    with closing(store_by_hand(running.data)) as connection:
        query = "SELECT content FROM notices WHERE case_id = ? AND kind = 'answered'"
        [(content,)] = connection.execute(query, (reference,))
    assert json.loads(content) == {"to": ["anna"], "by": "agent"}
    [answered] = entries(running, reference, "decide.question_answered")
    assert answered["actor"] == "agent" and "May" not in json.dumps(answered["detail"])
    await asked(running, reference, "And the second question?")
    assert (await shown(running, reference))["expires_at"] == after["expires_at"]  # once a case


def hours_between(before: str, after: str) -> float:
    """The hours between two instants."""
    return (read_instant(after) - read_instant(before)).total_seconds() / 3600


async def test_information_on_another_agents_call_is_not_taken(running: GatewayProcess) -> None:
    """It is answered like one that does not exist, 200 times."""
    reference = await waiting(running, "not yours")
    await asked(running, reference, "Whose is it?")
    async with running.agent(OTHER_AGENT_KEY) as agent:
        for number in range(200):
            refused = await agent.call_tool(
                "give_information", {"ref": reference, "text": f"mine {number}"}, raise_on_error=False
            )
            assert refused.is_error and "You have no call" in text_of(refused)
    [question] = (await shown(running, reference))["questions"]
    assert question["answer"] is None


@pytest.mark.parametrize("text", ["", " \u200b ", "x" * 4001], ids=["nothing", "unseen", "long"])
async def test_an_answer_has_a_length(running: GatewayProcess, text: str) -> None:
    """No person is told anything else, and nothing is cut."""
    reference = await waiting(running, f"length {len(text)}")
    await asked(running, reference, "What is it?")
    async with running.agent() as agent:
        refused = await agent.call_tool(
            "give_information", {"ref": reference, "text": text}, raise_on_error=False
        )
    assert refused.is_error and "1 to 4,000 characters" in text_of(refused)


async def test_after_the_end_no_one_asks_and_no_one_answers(running: GatewayProcess) -> None:
    """A question that is open when the call is decided is over with it."""
    reference = await waiting(running, "over")
    await asked(running, reference, "Why?")
    await running.decide(reference, "REJECTED", key=BEN, reason="no")
    assert (await asked(running, reference, "Why then?")).status_code == 409
    async with running.agent() as agent:
        refused = await agent.call_tool(
            "give_information", {"ref": reference, "text": "so"}, raise_on_error=False
        )
    assert refused.is_error
    assert text_of(await outcome(running, reference)).startswith("REJECTED")


async def test_the_same_question_again_is_one_question(running: GatewayProcess) -> None:
    """And two people ask two; one answer is for both."""
    reference = await waiting(running, "twice")
    for key in (ANNA, ANNA, BEN):
        assert (await asked(running, reference, "Why?", key)).status_code == 200
    assert len((await shown(running, reference))["questions"]) == 2
    async with running.agent() as agent:
        await call(agent, "give_information", ref=reference, text="Because.")
    assert [one["answer"] for one in (await shown(running, reference))["questions"]] == ["Because."] * 2


async def test_a_waiting_agent_hears_a_question_at_once(running: GatewayProcess) -> None:
    """get_outcome does not sit out its time, and a question changes no decision."""
    reference = await waiting(running, "hear me")
    async with running.agent() as agent:
        waits = asyncio.create_task(
            agent.call_tool("get_outcome", {"ref": reference, "wait_seconds": 25}, raise_on_error=False)
        )
        await asked(running, reference, "Heard?")
        told = await asyncio.wait_for(waits, 60)
    assert "Heard?" in text_of(told)


async def test_the_terminal_asks_and_edits(running: GatewayProcess) -> None:
    """`ask REF` and `approve REF --set`, in a process of its own."""
    reference = await waiting(running, "terminal")
    status, said = await terminal(running, "ask", reference, "Is it so?")
    assert (status, said) == (0, f"The agent of {reference} is asked. `show` has its answer.\n")
    seen = (await shown(running, reference))["seen_sha256"]
    status, said = await terminal(running, "approve", reference, "--set", "days=x", "--seen", seen)
    assert status == 1 and "days is a number" in said
    status, said = await terminal(running, "approve", reference, "--set", "nothing=1", "--seen", seen)
    assert status == 1 and "an argument of the call" in said
    status, said = await terminal(running, "approve", reference, "--set", "days=34", "--seen", seen)
    assert (status, said) == (0, f"{reference} is approved.\n")
    status, said = await terminal(running, "show", reference)
    assert status == 0 and "changed      by anna" in said and "days: 90 -> 34" in said
    assert "question     anna: Is it so?" in said
    await executed(running, reference)


async def terminal(gateway: GatewayProcess, verb: str, *said: str) -> tuple[int, str]:
    """The exit status of a command, and what it printed."""
    words = (verb, "--url", gateway.url, "--as", "anna", *said)
    shell, here = gateway.environment, gateway.directory
    done = await ran_beside("atlas.cases", *words, environment=shell, directory=here)
    return done.returncode, done.stdout + done.stderr
