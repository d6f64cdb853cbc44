"""A tool or a policy that changes while a call is under way: it goes back to a person, and runs once."""

import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from acceptance.test_restart import call_until_death, verify_ledger
from command_of_test import ran_beside
from gateway_process import REVIEWER_KEY, GatewayProcess, call, eventually, outcome, reference_in, text_of
from kept import is_postgresql, store_by_hand

CHANGING = Path(__file__).parent / "changing_gateway.py"
OTHER_REVIEWER_KEY = "other-reviewer-key-of-the-tests"
NOTE = {"text": "a note"}
PERSON = '[[rule]]\ntool = "write_note"\nscore = 80\n'
DENIED = '[[rule]]\ntool = "write_note"\ndeny = true\n'
NO_ONE = '[[rule]]\ntool = "write_note"\nscore = 20\n'


class Office(GatewayProcess):
    """A gateway whose tool and whose policy a test can change."""

    def __init__(self, directory: Path) -> None:
        keys = f"sarah:{REVIEWER_KEY},desk:{OTHER_REVIEWER_KEY}"
        self.policy = directory / "policy.toml"
        self.policy.write_text(PERSON)
        super().__init__(directory, CHANGING, ATLAS_POLICY=str(self.policy), ATLAS_REVIEWER_KEY=keys)

    def tell(self, **said: Any) -> None:
        """Have the tool say other things of itself; nothing: have it as it was first."""
        (self.directory / "tool.new").write_text(json.dumps(said))
        (self.directory / "tool.new").replace(self.directory / "tool.json")

    async def put(self, policy: str) -> None:
        """Have another policy for the next start; on PostgreSQL an operator puts it in force for all."""
        self.policy.write_text(policy)
        if is_postgresql():
            words = ("put", str(self.policy))
            done = await ran_beside("atlas.assessors.policy", *words, environment=self.environment)
            assert done.returncode == 0, done.stderr

    async def govern(self, policy: str) -> None:
        """Bring another policy into force."""
        before = await self._digest()
        await self.put(policy)
        os.kill(self.process_id, signal.SIGHUP)

        async def is_in_force() -> bool:
            return await self._digest() != before

        await eventually(is_in_force)

    async def _digest(self) -> str:
        async with httpx.AsyncClient(timeout=60) as client:
            return str((await client.get(f"{self.url}/readyz")).json()["policy"]["sha256"])

    async def held(self) -> str:
        """The reference of a call that waits for a person."""
        async with self.agent() as agent:
            return reference_in(await call(agent, "write_note", **NOTE))

    async def ending(self, case_id: str) -> str:
        """What the agent reads of the case in the end."""
        async with self.agent() as agent:
            return text_of(await outcome(agent, case_id))

    async def refused(self, case_id: str, key: str = REVIEWER_KEY) -> str:
        """What a reviewer reads who approves what has changed, and has seen the newest round."""
        answer = await self.decide(case_id, key=key, round=self.round_of(case_id))
        assert (answer.status_code, answer.json()["error"]) == (409, "CallChanged"), answer.text
        return str(answer.json()["detail"])

    def round_of(self, case_id: str) -> int:
        """The newest round of a case, as the documentation's listing shows it."""
        with contextlib.closing(store_by_hand(self.data)) as connection:
            row = connection.execute("SELECT round_number FROM cases WHERE case_id = ?", (case_id,))
            return int(row.fetchone()[0])

    def notes(self) -> int:
        """How often the tool ran."""
        path = self.directory / "notes.txt"
        return len(path.read_text().splitlines()) if path.exists() else 0

    async def approved_and_dead(self, moment: str) -> str:
        """The reference of a call that was approved, while the gateway died at that moment."""
        await self.start(ATLAS_TEST_DIE=moment)
        case_id: str = await self.held()
        await self.approve_until_death(case_id)
        return case_id

    async def waits_again(self, case_id: str) -> None:
        """Wait until the case is back before a person."""

        async def is_back() -> bool:
            return "decide.reopened" in verify_ledger(self, case_id)

        await eventually(is_back)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """A gateway, not started, that ends with the test."""
    gateway = Office(tmp_path)
    yield gateway
    with contextlib.suppress(AssertionError, ProcessLookupError):
        await gateway.kill()


async def approve_and_check(office: Office, case_id: str) -> None:
    """Approved as it is now it runs, once, and the ledger holds."""
    answer = await office.decide(case_id, round=office.round_of(case_id))
    assert answer.status_code == 200, answer.text
    assert "EXECUTED" in await office.ending(case_id)
    assert office.notes() == 1
    assert verify_ledger(office, case_id).count("execute.started") == 1


CHANGES = [
    ({"description": "Send a note to the world."}, "its description"),
    (
        {"parameters": {"type": "object", "properties": {"text": {}, "to": {}}, "required": ["text", "to"]}},
        "its removed parameter path, its parameter text, its new parameter to",
    ),
    ({"title": "Note", "output_schema": None}, "its title and its output schema"),
]


@pytest.mark.parametrize(("said", "told"), CHANGES)
async def test_a_person_who_approves_a_call_whose_tool_has_changed_is_told_and_can_approve_it_as_it_is(
    office: Office, said: dict[str, Any], told: str
) -> None:
    """The first approval does not count; the second one is of the tool as it is."""
    await office.start()
    case_id = await office.held()
    office.tell(**said)
    detail = await office.refused(case_id)
    assert f"The tool write_note has changed since this call was judged: {told}" in detail
    assert 'Say "round": 2 to approve it as it is now.' in detail
    assert office.notes() == 0 and "round 2, judged again: The tool write_note" in office.newest_log()
    for key in (REVIEWER_KEY, OTHER_REVIEWER_KEY):  # on its way again, or by someone with the old notice
        again = await office.decide(case_id, key=key)
        assert (again.status_code, again.json()["detail"]) == (409, detail)
    assert (await office.decide(case_id, round=0)).status_code == 422
    await approve_and_check(office, case_id)


BEFORE_THE_CLAIM = [
    "after atlas.decide Decisions.record",  # on disk, and the reviewer got no answer
    "before atlas.execute Execution.execute",
    "before atlas.execute Execution._claim",
]


@pytest.mark.parametrize("moment", BEFORE_THE_CLAIM)
async def test_what_was_approved_before_the_tool_changed_is_not_executed_until_it_is_approved_again(
    office: Office, moment: str
) -> None:
    """Killed after the decision; the tool changes while the gateway is down."""
    case_id = await office.approved_and_dead(moment)
    office.tell(description="Send a note to the world.")
    await office.start()
    await office.waits_again(case_id)
    assert office.notes() == 0
    await approve_and_check(office, case_id)
    assert verify_ledger(office, case_id).count("decide.approved") == 2


async def test_a_call_that_went_back_survives_a_kill_and_runs_once_when_approved_again(
    office: Office,
) -> None:
    """The case store knows that it waits, and the engine does not."""
    case_id = await office.approved_and_dead("before atlas.execute Execution.execute")
    office.tell(description="Send a note to the world.")
    with contextlib.suppress(AssertionError):  # it may die before it is seen to answer
        await office.start(ATLAS_TEST_DIE="after atlas.execute Execution._claim")
    await office.ended()
    await office.start()
    assert verify_ledger(office, case_id).count("decide.reopened") == 1
    await approve_and_check(office, case_id)
    assert "execute.refused" not in verify_ledger(office, case_id)


async def test_a_call_that_went_back_can_be_rejected(office: Office) -> None:
    """A rejection counts after any change."""
    case_id = await office.approved_and_dead("before atlas.execute Execution.execute")
    office.tell(description="Send a note to the world.")
    await office.start()
    await office.waits_again(case_id)
    office.tell(title="And otherwise again")
    assert (await office.decide(case_id, "REJECTED", reason="not so")).status_code == 200
    assert "not so" in await office.ending(case_id)
    assert office.notes() == 0


async def test_a_call_that_went_back_and_that_no_one_looks_at_expires(office: Office) -> None:
    """The time to decide begins again, and ends."""
    case_id = await office.approved_and_dead("before atlas.execute Execution.execute")
    office.tell(description="Send a note to the world.")
    await office.start(ATLAS_REVIEW_TIMEOUT="2s")
    await office.waits_again(case_id)
    assert "EXPIRED" in await office.ending(case_id) and office.notes() == 0
    actions = verify_ledger(office, case_id)
    assert actions[-1] == "decide.expired" and "execute.refused" not in actions


async def test_what_needed_no_one_is_put_before_a_person_when_its_tool_has_changed(office: Office) -> None:
    """Approved by the score, killed before it was executed."""
    office.policy.write_text(NO_ONE)
    await office.start(ATLAS_TEST_DIE="before atlas.execute Execution.execute")
    await call_until_death(office, "write_note", NOTE)
    office.tell(annotations={"destructiveHint": True})
    await office.start()
    case_id = await office.held()  # the same call is the same case
    await office.waits_again(case_id)
    assert office.notes() == 0
    await approve_and_check(office, case_id)


async def test_a_call_whose_tool_is_gone_cannot_be_approved_until_the_tool_is_back(office: Office) -> None:
    """What was approved before waits for it, too."""
    await office.start()
    case_id = await office.held()
    office.tell(missing=True)
    assert "The tool write_note is not there." in await office.refused(case_id)
    office.tell()
    await approve_and_check(office, case_id)
    assert "decide.reopened" not in verify_ledger(office, case_id)


async def test_an_approved_call_whose_tool_is_gone_goes_back_to_a_person(office: Office) -> None:
    """It does not run by itself when the tool comes back."""
    case_id = await office.approved_and_dead("before atlas.execute Execution.execute")
    office.tell(missing=True)
    await office.start()
    await office.waits_again(case_id)
    office.tell()
    assert office.notes() == 0
    assert "The tool write_note was not there when this call was judged." in await office.refused(case_id)
    await approve_and_check(office, case_id)


async def test_a_tool_that_changes_there_and_back_is_approved_as_what_it_is_in_the_end(
    office: Office,
) -> None:
    """No one can have one definition approved and another one run."""
    await office.start()
    case_id = await office.held()
    office.tell(description="Send a note to the world.")
    await office.refused(case_id)
    office.tell()
    assert "its description" in await office.refused(case_id)
    office.tell(description="Send a note to the world.")
    assert "its description" in await office.refused(case_id)
    assert office.notes() == 0
    await approve_and_check(office, case_id)


async def test_of_two_approvals_none_counts_that_was_given_before_the_tool_changed(office: Office) -> None:
    """Both reviewers have to look at what it is now."""
    office.policy.write_text(PERSON + "approvals = 2\n")
    await office.start()
    case_id = await office.held()
    first = await office.decide(case_id)
    assert first.json()["approvals"] == {"given": 1, "needed": 2}
    office.tell(description="Send a note to the world.")
    await office.refused(case_id, key=OTHER_REVIEWER_KEY)
    second = await office.decide(case_id, key=OTHER_REVIEWER_KEY, round=2)
    assert second.json()["approvals"] == {"given": 1, "needed": 2}
    await approve_and_check(office, case_id)


POLICIES = [
    (PERSON + "floor = 95\n", "score 80 -> 95, floor 0 -> 95"),
    (PERSON + "approvals = 1\n", "nothing that concerns this call"),
    (PERSON + 'reviewers = ["sarah"]\n', "reviewers everybody -> sarah"),
    (NO_ONE, "score 80 -> 20"),
]


@pytest.mark.parametrize(("policy", "told"), POLICIES)
async def test_a_person_who_approves_a_call_whose_policy_changed_is_told_and_can_approve_it_under_the_new_one(
    office: Office, policy: str, told: str
) -> None:
    """Also where the new policy would have let it pass: a person has begun to decide."""
    await office.start()
    case_id = await office.held()
    await office.govern(policy)
    detail = await office.refused(case_id)
    assert f"The policy was changed since this call was judged: {told}." in detail
    await approve_and_check(office, case_id)


async def test_what_was_approved_before_the_policy_changed_goes_back_and_under_a_denial_it_is_over(
    office: Office,
) -> None:
    """At execution, in the moment before the claim, after a restart."""
    case_id = await office.approved_and_dead("before atlas.execute Execution._claim")
    await office.put(PERSON + "review_timeout = '2h'\n")
    await office.start(ATLAS_TEST_DIE="before atlas.cases.reviews deny")
    await office.waits_again(case_id)
    await office.govern(DENIED)
    with contextlib.suppress(httpx.TransportError):
        await office.decide(case_id, round=2)
    await office.ended()
    await office.start()
    assert (await office.decide(case_id, round=2)).json()["error"] == "CaseFinished"
    assert "DENIED" in await office.ending(case_id) and office.notes() == 0


async def test_a_changed_upstream_tool_is_for_a_person_until_the_policy_changes_or_the_tool_is_back(
    office: Office,
) -> None:
    """Its rules were written for what it was."""
    office.policy.write_text(NO_ONE)
    upstream = {"meta": {"io.atlas/upstream": "notes"}}
    office.tell(**upstream)
    await office.start()
    async with office.agent() as agent:
        assert text_of(await call(agent, "write_note", text="1")) == "written"
        office.tell(**upstream, description="Send a note to the world.")
        held = await call(agent, "write_note", text="2")
        record = await office.decide(reference_in(held), "REJECTED")
        assert record.status_code == 200
        office.tell(**upstream)
        assert text_of(await call(agent, "write_note", text="3")) == "written"
        office.tell(**upstream, description="Send a note to the world.")
        await office.govern(NO_ONE + "# looked at\n")
        assert text_of(await call(agent, "write_note", text="4")) == "written"
    assert office.notes() == 3


async def test_a_tool_whose_definition_is_too_long_to_be_shown_is_not_called(office: Office) -> None:
    """The agent reads why, and no case is opened."""
    office.tell(description="a" * 300_000)
    await office.start()
    async with office.agent() as agent:
        refused = await call(agent, "write_note", **NOTE)
    assert refused.is_error and "longer than 256 KB" in text_of(refused)
    assert office.notes() == 0
