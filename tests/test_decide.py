"""Decisions of people: when they hold, and when they are refused."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kept import entries_in
from sqlalchemy.engine import Connection
from store import approval, assessment_of, decisions, open_case, open_store, rejection, tool_call

from atlas.cases.reviews import request_review
from atlas.cases.store import CaseStore, add_assessment, read_case, transition
from atlas.decide import decide_after_wait, decide_by_score
from atlas.errors import (
    CaseFinished,
    CaseNotFound,
    NotPermitted,
    ReviewExpired,
    TransitionRefused,
)
from atlas.models import Case, Status, Verdict
from atlas.people.votes import Vote

DAY = timedelta(days=1)


async def pending(store: CaseStore, timeout: timedelta = DAY) -> Case:
    """A case that waits for a person."""
    case = await open_case(store)
    return await store.change(
        case.case_id, lambda connection: request_review(connection, case, timeout, reason="a test")
    )


async def decided(store: CaseStore, case_id: str, verdict: Verdict) -> Case:
    """The case after a decision."""
    return await decisions(store).record(case_id, Vote(verdict, reviewer="reviewer", reason="because"))


@pytest.mark.parametrize(
    ("verdict", "status"), [(Verdict.APPROVED, Status.AUTHORIZED), (Verdict.REJECTED, Status.REJECTED)]
)
@pytest.mark.parametrize("is_assessed", [True, False], ids=["pending", "queued"])
async def test_a_decision_holds_from_the_moment_it_is_written(
    tmp_path: Path, verdict: Verdict, status: Status, is_assessed: bool
) -> None:
    """Also before the call was assessed or the workflow began to wait."""
    async with open_store(tmp_path) as store:
        case = await (pending(store) if is_assessed else open_case(store))
        assert (await decided(store, case.case_id, verdict)).status is status
        after = await store.change(
            case.case_id,
            lambda connection: decide_by_score(connection, read_case(connection, case.case_id), timeout=DAY),
        )
        assert after.status is status and after.decision is not None and after.decision.reason == "because"


async def test_the_same_decision_again_changes_nothing_and_no_approval_follows_a_rejection(
    tmp_path: Path,
) -> None:
    """A rejection is not taken back; an approval is, by a rejection that comes before the call begins."""
    async with open_store(tmp_path) as store:
        case_id = (await pending(store)).case_id
        first = await decided(store, case_id, Verdict.APPROVED)
        assert await decided(store, case_id, Verdict.APPROVED) == first
        rejected = await decided(store, case_id, Verdict.REJECTED)
        assert rejected.status is Status.REJECTED
        assert await decided(store, case_id, Verdict.REJECTED) == rejected
        with pytest.raises(CaseFinished):
            await decided(store, case_id, Verdict.APPROVED)
    actions = [entry["action"] for entry in entries_in(tmp_path)]
    assert actions.count("decide.approved") == 1 and actions.count("decide.rejected") == 1


async def test_a_rejection_stops_what_the_score_had_approved(tmp_path: Path) -> None:
    """With any score, as long as it is not executed."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        await store.change(case.case_id, lambda connection: transition(connection, case, Status.AUTHORIZED))
        assert (await decided(store, case.case_id, Verdict.REJECTED)).status is Status.REJECTED


@pytest.mark.parametrize("ending", [Status.EXECUTING, Status.EXECUTED, Status.OUTCOME_UNKNOWN])
async def test_nothing_can_be_decided_on_what_is_executed(tmp_path: Path, ending: Status) -> None:
    """Nor on what is being executed."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)

        def finish(connection: Connection) -> Case:
            authorized = transition(connection, case, Status.AUTHORIZED)
            executing = transition(connection, authorized, Status.EXECUTING)
            return executing if ending is Status.EXECUTING else transition(connection, executing, ending)

        await store.change(case.case_id, finish)
        with pytest.raises(CaseFinished):
            await decided(store, case.case_id, Verdict.REJECTED)


async def test_after_the_time_is_up_an_approval_comes_too_late_and_the_case_expires(tmp_path: Path) -> None:
    """Expiry is a refusal."""
    async with open_store(tmp_path) as store:
        case_id = (await pending(store, timeout=timedelta(microseconds=1))).case_id
        with pytest.raises(ReviewExpired):
            await decided(store, case_id, Verdict.APPROVED)
        assert (await decide_after_wait(case_id, store=store, is_woken=False)).status is Status.EXPIRED
        with pytest.raises(CaseFinished):
            await decided(store, case_id, Verdict.APPROVED)


async def test_a_case_does_not_expire_before_its_time_no_matter_what_the_workflow_says(
    tmp_path: Path,
) -> None:
    """A forged time-out is as powerless as a forged decision."""
    async with open_store(tmp_path) as store:
        case_id = (await pending(store)).case_id
        for is_woken in (True, False):
            assert (
                await decide_after_wait(case_id, store=store, is_woken=is_woken)
            ).status is Status.PENDING_REVIEW


async def test_an_unknown_case_cannot_be_decided_on(tmp_path: Path) -> None:
    """A sentence with the reference."""
    async with open_store(tmp_path) as store:
        with pytest.raises(CaseNotFound, match="There is no case evt_48f1fb4b"):
            await decided(store, "evt_48f1fb4b", Verdict.APPROVED)


async def test_a_transition_from_a_state_that_is_no_longer_true_is_refused(tmp_path: Path) -> None:
    """Two who read the same state cannot both move it on."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        await store.change(case.case_id, lambda connection: transition(connection, case, Status.AUTHORIZED))
        with pytest.raises(TransitionRefused):
            await store.change(case.case_id, lambda connection: transition(connection, case, Status.REJECTED))


async def ruled(store: CaseStore, **fields: Any) -> Case:
    """A case after the policy alone has judged it, by a ruling with such fields."""
    case = await open_case(store)

    def judge(connection: Connection) -> Case:
        judged = add_assessment(connection, case, assessment_of(case.call, **fields))
        return decide_by_score(connection, judged, timeout=DAY)

    return await store.change(case.case_id, judge)


async def test_what_the_policy_denies_no_person_can_lift(tmp_path: Path) -> None:
    """Neither after the assessment nor before it, nor when a run failed before it could assess."""
    async with open_store(tmp_path) as store:
        denied = await ruled(store, is_denied=True)
        assert denied.status is Status.DENIED and denied.reported_at is not None
        with pytest.raises(CaseFinished, match="DENIED"):
            await decisions(store).record(denied.case_id, approval())
        other = await open_case(store, tool_call(beneficiary_id="BEN-124"))
        for unassessed in (other, await pending(store)):
            with pytest.raises(CaseFinished, match="DENIED"):
                await decisions(store, is_denied=True).record(unassessed.case_id, approval())
            assert (await store.read(unassessed.case_id)).status is Status.DENIED
    actions = [entry["action"] for entry in entries_in(tmp_path)]
    assert actions.count("decide.denied") == 3 and "decide.approved" not in actions


@pytest.mark.parametrize("is_assessed", [True, False], ids=["pending", "queued"])
async def test_as_many_reviewers_decide_as_the_policy_asks_for(tmp_path: Path, is_assessed: bool) -> None:
    """One who approves twice counts once."""
    async with open_store(tmp_path) as store:
        case = await (ruled(store, approvals=2) if is_assessed else open_case(store))
        votes = decisions(store, approvals=2)
        for _ in range(2):
            waiting = await votes.record(case.case_id, approval("sarah"))
            assert waiting.status is Status.PENDING_REVIEW and waiting.decision is None
        decided = await votes.record(case.case_id, approval("desk 4"))
        assert decided.status is Status.AUTHORIZED
        assert decided.decision is not None and decided.decision.reviewer == "desk 4"
    actions = [entry["action"] for entry in entries_in(tmp_path)]
    assert actions.count("decide.approval_counted") == 2 and actions.count("decide.approved") == 1


async def test_two_names_that_look_alike_are_one_of_several_reviewers(tmp_path: Path) -> None:
    """A person who comes in under Anna and under anna has approved once."""
    async with open_store(tmp_path) as store:
        case = await ruled(store, approvals=2)
        votes = decisions(store, approvals=2)
        for name in ("anna", "Anna", "\uff21nna"):
            case = await votes.record(case.case_id, approval(name))
        assert case.status is Status.PENDING_REVIEW
        case = await votes.record(case.case_id, approval("ben"))
        assert case.status is Status.AUTHORIZED


async def test_one_rejection_ends_what_another_reviewer_approved(tmp_path: Path) -> None:
    """As long as approvals are missing."""
    async with open_store(tmp_path) as store:
        case = await ruled(store, approvals=2)
        await decisions(store).record(case.case_id, approval("sarah"))
        assert (await decisions(store).record(case.case_id, rejection("desk 4"))).status is Status.REJECTED


async def test_only_the_reviewers_that_the_policy_names_can_approve_and_everybody_can_reject(
    tmp_path: Path,
) -> None:
    """To stop a call every reviewer is good enough."""
    async with open_store(tmp_path) as store:
        case = await ruled(store, reviewers=("sarah",))
        with pytest.raises(NotPermitted, match="lets sarah approve"):
            await decisions(store).record(case.case_id, approval("desk 4"))
        unassessed = await open_case(store)
        with pytest.raises(NotPermitted, match="lets sarah approve"):
            await decisions(store, reviewers=("sarah",)).record(unassessed.case_id, approval("desk 4"))
        assert (await decisions(store).record(case.case_id, rejection("desk 4"))).status is Status.REJECTED


@pytest.mark.parametrize("asks", [{"approvals": 2}, {"reviewers": ("sarah",)}])
async def test_a_name_that_no_key_has_is_no_reviewer_where_the_policy_asks_who_approves(
    tmp_path: Path, asks: dict[str, Any]
) -> None:
    """One key without a name could else be two reviewers."""
    async with open_store(tmp_path) as store:
        case = await ruled(store, **asks)
        with pytest.raises(NotPermitted, match="a reviewer's key that has a name"):
            await decisions(store, **asks).record(case.case_id, approval("sarah", is_signed=False))


OWNED = {"agent": frozenset({"anna"})}  # by the agent of these cases


@pytest.mark.parametrize("name", ["anna", "Anna", "ANNA", "\uff41\uff4e\uff4e\uff41"])
@pytest.mark.parametrize("is_assessed", [True, False], ids=["pending", "queued"])
async def test_a_person_cannot_approve_a_call_of_an_agent_that_they_own(
    tmp_path: Path, name: str, is_assessed: bool
) -> None:
    """However the name is spelled, before another person approved it and after that."""
    async with open_store(tmp_path) as store:
        case = await (pending(store) if is_assessed else open_case(store))
        votes = decisions(store, owners=OWNED)
        with pytest.raises(NotPermitted, match=f"{name} owns the agent agent"):
            await votes.record(case.case_id, approval(name))
        assert (await store.read(case.case_id)).decision is None
        assert (await votes.record(case.case_id, approval("ben"))).status is Status.AUTHORIZED
        with pytest.raises(NotPermitted, match="owns the agent"):
            await votes.record(case.case_id, approval(name))


async def test_a_person_can_reject_a_call_of_an_agent_that_they_own(tmp_path: Path) -> None:
    """To stop a call every reviewer is good enough, also one whose name no one checked."""
    async with open_store(tmp_path) as store:
        votes = decisions(store, owners=OWNED)
        assert (
            await votes.record((await pending(store)).case_id, rejection("anna"))
        ).status is Status.REJECTED


async def test_an_owner_cannot_approve_under_a_name_that_no_one_checked(tmp_path: Path) -> None:
    """One key without a name could claim to be another person; where no agent has an owner it can go on."""
    async with open_store(tmp_path) as store:
        case = await pending(store)
        for name in ("ben", "anna"):
            with pytest.raises(NotPermitted, match="takes a name that is checked"):
                await decisions(store, owners=OWNED).record(case.case_id, approval(name, is_signed=False))
        others = {"another": frozenset({"anna"})}
        approved = await decisions(store, owners=others).record(case.case_id, approval(is_signed=False))
        assert approved.status is Status.AUTHORIZED


async def test_an_approval_that_was_counted_does_not_count_once_its_person_owns_the_agent(
    tmp_path: Path,
) -> None:
    """The settings changed between the first approval of two and the second."""
    async with open_store(tmp_path) as store:
        case = await ruled(store, approvals=2)
        case = await decisions(store, approvals=2).record(case.case_id, approval("anna"))
        votes = decisions(store, approvals=2, owners=OWNED)
        assert await votes.approvals_of(case) == 0
        assert (await votes.record(case.case_id, approval("ben"))).status is Status.PENDING_REVIEW
        assert (await votes.record(case.case_id, approval("eva"))).status is Status.AUTHORIZED


async def test_a_denial_that_came_into_force_while_the_call_waited_holds(tmp_path: Path) -> None:
    """No person can lift it, also where the call was put before one."""
    async with open_store(tmp_path) as store:
        case = await ruled(store)
        with pytest.raises(CaseFinished, match="DENIED"):
            await decisions(store, is_denied=True).record(case.case_id, approval())
        assert (await store.read(case.case_id)).status is Status.DENIED


async def test_the_policy_can_give_a_review_its_own_time(tmp_path: Path) -> None:
    """Instead of ATLAS_REVIEW_TIMEOUT."""
    async with open_store(tmp_path) as store:
        case = await ruled(store, review_seconds=60)
        assert case.expires_at is not None and case.expires_at - case.opened_at < timedelta(seconds=70)
