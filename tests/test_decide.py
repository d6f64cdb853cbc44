"""Decisions of people: when they hold, and when they are refused."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection
from store import open_case, open_store

from atlas import ledger
from atlas.cases import CaseStore, read_case, transition
from atlas.decide import decide_after_wait, decide_by_score, record_decision, request_review
from atlas.errors import CaseFinished, CaseNotFound, ContraryDecision, ReviewExpired, TransitionRefused
from atlas.models import Case, Status, Verdict

DAY = timedelta(days=1)


async def pending(store: CaseStore, timeout: timedelta = DAY) -> Case:
    """A case that waits for a person."""
    case = await open_case(store)
    return await store.change(
        case.case_id, lambda connection: request_review(connection, case, timeout, reason="a test")
    )


async def decided(store: CaseStore, case_id: str, verdict: Verdict) -> Case:
    """The case after a decision."""
    return await record_decision(case_id, verdict, reviewer="reviewer", reason="because", store=store)


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


async def test_the_same_decision_again_changes_nothing_and_a_contrary_one_is_refused(tmp_path: Path) -> None:
    """A decision is not taken back."""
    async with open_store(tmp_path) as store:
        case_id = (await pending(store)).case_id
        first = await decided(store, case_id, Verdict.APPROVED)
        assert await decided(store, case_id, Verdict.APPROVED) == first
        with pytest.raises(ContraryDecision):
            await decided(store, case_id, Verdict.REJECTED)
    actions = [entry["action"] for entry in ledger.read(tmp_path / "atlas.db")]
    assert actions.count("decide.approved") == 1 and "decide.rejected" not in actions


async def test_a_rejection_stops_what_the_score_had_approved(tmp_path: Path) -> None:
    """Whatever the score was, as long as it is not executed."""
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


async def test_a_case_does_not_expire_before_its_time_whatever_the_workflow_says(tmp_path: Path) -> None:
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
