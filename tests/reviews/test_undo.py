"""Undo, in the case store: what is approved begins later, and can be taken back until it begins."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from due import entries_of, let_pass
from fastmcp import FastMCP
from sqlalchemy.engine import Connection
from store import (
    approval,
    assessment_of,
    decisions,
    open_case,
    open_store,
    rejection,
    settings_of_test,
    tool_call,
)

from atlas.agents.answers import facts_of, pending_text
from atlas.agents.held_calls import WaitingAgents
from atlas.cases.judgements import record_assessment
from atlas.cases.store import CaseStore, read_approvals
from atlas.cases.tables import cases
from atlas.decide import Decisions, decide_by_score
from atlas.errors import AtlasError, ContraryDecision, KeyUsed, NotPermitted, TakeBackRefused
from atlas.execute import Execution
from atlas.ledger import Action
from atlas.models import Assessment, Case, Scope, Status, Verdict
from atlas.people.votes import Vote
from atlas.review_rules import ReviewRules
from atlas.reviews.undo import MOST_TAKEN_BACK, seconds_to_begin
from atlas.stop.stops import Stops
from atlas.workflow.patience import seconds_to_wait

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNDO = ReviewRules(undo_seconds=3600)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CaseStore]:
    """A store of one test."""
    async with open_store(tmp_path) as opened:
        yield opened


class Tool:
    """One tool, what executes it, and how often it ran."""

    def __init__(self, store: CaseStore, directory: Path) -> None:
        self.ran = 0
        server = FastMCP("a server")
        settings = settings_of_test(directory)
        self.execution = Execution(
            store=store,
            server=server,
            judge=self,
            tell=lambda case: None,
            settings=settings,
            waiting=WaitingAgents(),
        )

        @server.tool
        async def check_status(number: int) -> int:
            """Count."""
            self.ran += 1
            return number

    policy_sha256 = "0" * 64

    async def definition_sha256(self, case: Case) -> str | None:
        """There is nothing to compare with."""
        return None

    async def rule(self, case: Case) -> Assessment:
        """The policy, which is never another one."""
        return assessment_of(case.call, review=UNDO)


@pytest.fixture
def tool(store: CaseStore, tmp_path: Path) -> Tool:
    """The tool of one test."""
    return Tool(store, tmp_path)


async def waiting(store: CaseStore, **fields: Any) -> Case:
    """A case that waits, under a rule that gives an hour to take an approval back."""
    case = await open_case(store, tool_call(number=1))

    def judge(connection: Connection) -> Case:
        judged = record_assessment(connection, case, assessment_of(case.call, **({"review": UNDO} | fields)))
        return decide_by_score(connection, judged, timeout=DAY)

    return await store.change(case.case_id, judge)


def people(store: CaseStore, **fields: Any) -> Decisions:
    """Takes decisions under the same rule."""
    return decisions(store, **({"review": UNDO} | fields))


async def approved(store: CaseStore, **fields: Any) -> Case:
    """A case that was approved and has not begun."""
    case = await waiting(store, **fields)
    return await people(store, **fields).record(case.case_id, approval("anna"))


async def test_what_is_approved_begins_when_the_time_to_take_it_back_is_over(
    store: CaseStore, tool: Tool
) -> None:
    """The claim refuses what asks for it earlier: the case stays approved, and the tool is not called."""
    case = await approved(store)
    assert case.begins_at is not None
    assert case.decision is not None
    assert case.begins_at == case.decision.decided_at + HOUR
    assert 3590 < seconds_to_wait(case) <= 3601
    for _ in range(3):
        still = await tool.execution.execute(case.case_id)
        assert (still.status, tool.ran) == (Status.AUTHORIZED, 0)
    assert await entries_of(store, case.case_id, Action.EXECUTING, Action.EXECUTION_REFUSED) == []
    await let_pass(store, HOUR)
    assert (await tool.execution.execute(case.case_id)).status is Status.EXECUTED
    assert tool.ran == 1


async def test_an_approval_that_is_taken_back_begins_a_round_in_which_nothing_is_decided(
    store: CaseStore, tool: Tool
) -> None:
    """The agent's call waits again and is not executed, at its old begin either; the ledger says who."""
    case = await approved(store)
    back = await people(store).take_back(case.case_id, vote("anna", "wrong file"))
    assert (back.status, back.round_number) == (Status.PENDING_REVIEW, 2)
    assert (back.decision, back.begins_at) == (None, None)
    assert await store.read(case.case_id) == back
    (entry,) = await entries_of(store, case.case_id, Action.TAKEN_BACK)
    assert (entry["actor"], entry["detail"]["round"], entry["detail"]["reason"]) == ("anna", 1, "wrong file")
    assert "PENDING REVIEW" in pending_text(back)
    assert "decision" not in facts_of(back)
    await let_pass(store, 2 * HOUR)
    assert (await tool.execution.execute(case.case_id)).status is Status.PENDING_REVIEW
    assert tool.ran == 0


async def test_what_was_taken_back_can_be_approved_and_taken_back_again(store: CaseStore) -> None:
    """Each approval has its own time."""
    case = await approved(store)
    for round_number in (2, 3):
        await people(store).take_back(case.case_id, vote("anna"))
        again = await people(store).record(case.case_id, approval("anna", round_number=round_number))
        assert again.status is Status.AUTHORIZED
        assert 3590 < seconds_to_begin(again) <= 3600


async def test_no_one_keeps_a_call_waiting_for_ever_by_taking_back(store: CaseStore) -> None:
    """After some times it begins or is rejected, which stops it within the same time."""
    case = await approved(store)
    for number in range(MOST_TAKEN_BACK):
        await people(store).take_back(case.case_id, vote("anna"))
        await people(store).record(case.case_id, approval("anna", round_number=number + 2))
    with pytest.raises(TakeBackRefused, match="Reject the call to stop it"):
        await people(store).take_back(case.case_id, vote("anna"))
    assert (await store.read(case.case_id)).status is Status.AUTHORIZED
    assert (await people(store).record(case.case_id, rejection("anna"))).status is Status.REJECTED


async def test_all_approvals_of_several_are_void_when_one_of_them_is_taken_back(store: CaseStore) -> None:
    """Either of the two can do it."""
    fields = {"approvals": 2}
    case = await waiting(store, **fields)
    await people(store, **fields).record(case.case_id, approval("anna"))
    both = await people(store, **fields).record(case.case_id, approval("ben"))
    assert both.begins_at is not None
    back = await people(store, **fields).take_back(case.case_id, vote("Anna"))
    assert back.status is Status.PENDING_REVIEW
    assert await store.database.read(lambda connection: read_approvals(connection, back)) == ()


async def test_any_reviewer_stops_the_call_within_the_time_by_rejecting_it(store: CaseStore) -> None:
    """One transaction takes the approval back and rejects; both are on record."""
    case = await approved(store)
    over = await people(store).record(case.case_id, rejection("otto", "no"))
    assert (over.status, over.round_number) == (Status.REJECTED, 2)
    assert over.decision is not None
    assert over.decision.reviewer == "otto"
    entries = await entries_of(store, case.case_id, Action.APPROVED, Action.TAKEN_BACK, Action.REJECTED)
    assert [(entry["action"], entry["actor"]) for entry in entries] == [
        ("decide.approved", "anna"),
        ("decide.taken_back", "otto"),
        ("decide.rejected", "otto"),
    ]


async def test_taking_it_back_twice_is_one_deed(store: CaseStore) -> None:
    """A program that asks again has what it asked for; another key of another meaning is refused."""
    case = await approved(store)
    first = await people(store).take_back(case.case_id, vote("anna", key="k"))
    assert await people(store).take_back(case.case_id, vote("anna", key="k")) == first
    assert await people(store).take_back(case.case_id, vote("anna")) == first
    assert len(await entries_of(store, case.case_id, Action.TAKEN_BACK)) == 1
    with pytest.raises(KeyUsed):
        await people(store).record(case.case_id, rejection_with_key("anna", "k"))


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("begun", TakeBackRefused, "The call has begun"),
        ("executed", TakeBackRefused, "The call has begun"),
        ("waiting", TakeBackRefused, "no approval is in force"),
        ("no rule", TakeBackRefused, "No rule of the policy gives time"),
        ("by score", TakeBackRefused, "The score approved it"),
        ("another person", NotPermitted, "can take the approval back: anna"),
    ],
)
async def test_what_cannot_be_taken_back_says_why_and_stays(
    store: CaseStore, what: str, error: type[AtlasError], said: str
) -> None:
    """Nothing is changed, and nothing is in the ledger."""
    case = await {
        "waiting": lambda: waiting(store),
        "no rule": lambda: approved(store, review=ReviewRules()),
        "by score": lambda: by_score(store),
    }.get(what, lambda: approved(store))()
    if what in ("begun", "executed"):
        status = Status.EXECUTING if what == "begun" else Status.EXECUTED
        of_it = cases.update().where(cases.c.case_id == case.case_id).values(status=status.value)
        await store.database.write(lambda connection: connection.execute(of_it))
    before = await store.read(case.case_id)
    with pytest.raises(error, match=said):
        await people(store).take_back(case.case_id, vote("ben" if what == "another person" else "anna"))
    assert await store.read(case.case_id) == before
    assert await entries_of(store, case.case_id, Action.TAKEN_BACK) == []


NO_UNDO = ReviewRules()


async def test_an_approved_call_that_a_stop_holds_is_rejected_by_any_reviewer_and_never_begins(
    store: CaseStore, tool: Tool
) -> None:
    """Right: an approval by mistake is undone while a stop gives time. Wrong: the lift executes the call."""
    case, stops = await approved(store, review=NO_UNDO), Stops(store.database)
    stop = await stops.stop(Scope.EVERYTHING, reason="a stolen account", person_name="ben")
    assert (await tool.execution.execute(case.case_id)).stop == stop
    rejected = await people(store, review=NO_UNDO).record(case.case_id, rejection("otto", "a mistake"))
    assert rejected.status is Status.REJECTED
    await stops.lift(stop.stop_id, reason="over", person_name="ben")
    after = await tool.execution.execute(case.case_id)
    assert (after.status, tool.ran) == (Status.REJECTED, 0)
    acts = (Action.APPROVED, Action.TAKEN_BACK, Action.REJECTED, Action.EXECUTING)
    entries = await entries_of(store, case.case_id, *acts)
    assert [(entry["action"], entry["actor"]) for entry in entries] == [
        ("decide.approved", "anna"),
        ("decide.taken_back", "otto"),
        ("decide.rejected", "otto"),
    ]


@pytest.mark.parametrize("is_claim_first", [True, False])
async def test_of_a_rejection_and_the_claim_of_an_approved_call_whichever_comes_first_wins(
    store: CaseStore, tool: Tool, is_claim_first: bool
) -> None:
    """Right: executed and the person is told so, or rejected and never executed. Wrong: both, or neither."""
    case = await approved(store, review=NO_UNDO)
    claim = tool.execution.execute(case.case_id)
    no = people(store, review=NO_UNDO).record(case.case_id, rejection("otto"))
    both = (claim, no) if is_claim_first else (no, claim)
    results = await asyncio.gather(*both, return_exceptions=True)
    said = results[1 if is_claim_first else 0]
    ended = await tool.execution.execute(case.case_id)
    if isinstance(said, BaseException):
        assert isinstance(said, ContraryDecision) and (ended.status, tool.ran) == (Status.EXECUTED, 1)
    else:
        assert (ended.status, tool.ran) == (Status.REJECTED, 0)


async def test_a_rejection_after_the_begin_is_refused(store: CaseStore, tool: Tool) -> None:
    """What runs or ran is not rejected: the answer says by whom it was approved."""
    case = await approved(store, review=NO_UNDO)
    await tool.execution.execute(case.case_id)
    with pytest.raises(ContraryDecision, match="approved by anna"):
        await people(store, review=NO_UNDO).record(case.case_id, rejection("otto"))
    assert tool.ran == 1


async def test_what_the_score_approves_is_not_put_off(store: CaseStore, tool: Tool) -> None:
    """No person decided it, so that there is nothing to think over."""
    case = await by_score(store)
    assert case.begins_at is None
    assert (await tool.execution.execute(case.case_id)).status is Status.EXECUTED


async def test_a_stop_holds_longer_than_the_time_to_take_it_back_and_taking_back_still_works(
    store: CaseStore, tool: Tool
) -> None:
    """It has not begun, so that nothing is lost."""
    case = await approved(store)
    await Stops(store.database).stop(Scope.EVERYTHING, reason="fire", person_name="ben")
    await let_pass(store, 2 * HOUR)
    assert (await tool.execution.execute(case.case_id)).status is Status.AUTHORIZED
    back = await people(store).take_back(case.case_id, vote("anna"))
    assert (back.status, tool.ran) == (Status.PENDING_REVIEW, 0)


async def test_taking_back_and_beginning_at_the_same_time_end_as_one_of_both(
    store: CaseStore, tool: Tool
) -> None:
    """Fifty races at the very end: executed and not taken back, or taken back and not executed."""
    for number in range(50):
        case = await open_case(store, tool_call(number=number + 100))

        def judge(connection: Connection, case: Case = case) -> Case:
            judged = record_assessment(connection, case, assessment_of(case.call, review=UNDO))
            return decide_by_score(connection, judged, timeout=DAY)

        await store.change(case.case_id, judge)
        await people(store).record(case.case_id, approval("anna"))
        await let_pass(store, HOUR)
        ran = tool.ran
        both = [tool.execution.execute(case.case_id), people(store).take_back(case.case_id, vote("anna"))]
        await asyncio.gather(*(both if number % 2 else reversed(both)), return_exceptions=True)
        end = await store.read(case.case_id)
        taken = await entries_of(store, case.case_id, Action.TAKEN_BACK)
        begun = await entries_of(store, case.case_id, Action.EXECUTING)
        assert (len(taken), len(begun), tool.ran - ran) in ((1, 0, 0), (0, 1, 1))
        assert end.status is (Status.PENDING_REVIEW if taken else Status.EXECUTED)


async def test_the_agent_reads_until_when_the_approval_can_be_taken_back(store: CaseStore) -> None:
    """It is told neither that the call runs nor that it is about to."""
    case = await approved(store)
    said = pending_text(case)
    assert "unless the approval is taken back" in said
    assert "about to be executed" not in said
    assert facts_of(case)["begins_at"] == case.begins_at.isoformat().replace("+00:00", "Z")  # type: ignore[union-attr]


def vote(reviewer: str, reason: str | None = None, *, key: str | None = None) -> Vote:
    """A person takes an approval back."""
    return Vote(Verdict.REJECTED, reviewer=reviewer, reason=reason, is_signed=True, idempotency_key=key)


def rejection_with_key(reviewer: str, key: str) -> Vote:
    """A person rejects the call, under a key."""
    return Vote(Verdict.REJECTED, reviewer=reviewer, reason="no", is_signed=True, idempotency_key=key)


async def by_score(store: CaseStore) -> Case:
    """A case that its score approved."""
    case = await open_case(store, tool_call(number=2))

    def judge(connection: Connection) -> Case:
        judged = record_assessment(connection, case, assessment_of(case.call, 10, review=UNDO))
        return decide_by_score(connection, judged, timeout=DAY)

    return await store.change(case.case_id, judge)
