"""Cases that are judged again: when, why, what is withdrawn, and what of an old case stays as it was."""

from pathlib import Path
from typing import Any

import pytest
from judged_calls import DAY, DEFINED, REDEFINED, decisions_under, judged, waiting
from kept import entries_in
from sqlalchemy.engine import Connection
from store import (
    approval,
    open_store,
    recorded_approval,
    rejection,
    ruling,
)

from atlas import ledger
from atlas.cases.store import CaseStore, add_decision, read_approvals, read_case
from atlas.decide import Decisions, decide_after_wait
from atlas.errors import CallChanged, CaseFinished, ReviewExpired
from atlas.grounds.reopening import send_back, what_changed
from atlas.models import Assessment, Case, Ruling, Status


async def said(store: CaseStore, case: Case, ruled: Assessment) -> str | None:
    """What has changed."""
    return await store.database.read(lambda connection: what_changed(connection, case, ruled))


OTHER = {"policy_sha256": "1" * 64}
POLICIES = [
    ({}, "nothing that concerns this call"),
    ({"floor": 70}, "floor 0 -> 70"),
    ({"score": 90}, "score 80 -> 90"),
    ({"approvals": 2, "reviewers": ("a", "b")}, "approvals 1 -> 2, reviewers everybody -> a, b"),
    ({"review_seconds": 90}, "time to decide the usual -> 0:01:30"),
    ({"classification": "other"}, "classification test -> other"),
    ({"legal_basis": "a law"}, "legal basis none -> a law"),
    ({"rationale": "Another."}, "its reasons"),
    ({"is_denied": True}, "it denies this call"),
    ({"rules": ("another rule",)}, "nothing that concerns this call"),
]


@pytest.mark.parametrize(("fields", "told"), POLICIES)
async def test_what_the_policy_says_otherwise_is_told(
    tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    """Of each thing that a rule can give."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)
        ruled = judged(case.call).model_copy(update={"ruling": ruling(**(OTHER | fields))})
        assert await said(store, case, ruled) == f"The policy was changed since this call was judged: {told}."


@pytest.mark.parametrize("before", [None, ruling()])
async def test_a_policy_that_can_or_cannot_be_applied_any_more_is_another_one(
    tmp_path: Path, before: Ruling | None
) -> None:
    """The same failure twice is not."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)
        assert case.assessment is not None
        case = case.model_copy(update={"assessment": case.assessment.model_copy(update={"ruling": before})})
        for after in (None, ruling()):
            told = await said(store, case, judged(case.call).model_copy(update={"ruling": after}))
            assert (told is None) == (before == after)


async def test_what_was_judged_on_another_definition_than_it_was_admitted_with_has_changed(
    tmp_path: Path,
) -> None:
    """Whichever of the two the tool has now: it changed there and back."""
    async with open_store(tmp_path) as store:
        case = (await waiting(store)).model_copy(update={"definition_sha256": REDEFINED})
        for present in (DEFINED, REDEFINED):
            told = await said(store, case, judged(case.call, definition=present))
            assert told is not None and "has changed" in told


async def test_what_is_judged_again_is_for_a_person_and_nothing_that_was_decided_counts(
    tmp_path: Path,
) -> None:
    """The score is not below the threshold, nor below the model's; the time begins again."""
    async with open_store(tmp_path) as store:
        case = await waiting(store, approvals=2)
        await decisions_under(store, approvals=2).record(case.case_id, approval("sarah"))
        changed = judged(case.call, definition=REDEFINED, risk_score=5)

        def back(connection: Connection) -> Case:
            case_now = read_case(connection, case.case_id)
            assert case_now.assessment is not None
            assessed = case_now.assessment.model_copy(update={"model_score": 88, "model": "m"})
            case_now = case_now.model_copy(update={"assessment": assessed})
            return send_back(connection, case_now, changed, DAY, reason="It changed.")

        await store.change(case.case_id, back)
        after = await store.read(case.case_id)
        assert after.status is Status.PENDING_REVIEW and after.round_number == 2
        assert after.definition_sha256 == REDEFINED and after.decision is None
        assert after.assessment is not None and after.assessment.reopened_because == "It changed."
        assert (after.assessment.risk_score, after.assessment.model_score) == (88, 88)
        assert after.expires_at and case.expires_at and after.expires_at > case.expires_at
        assert await store.database.read(lambda connection: read_approvals(connection, after)) == ()
        entries = list(entries_in(tmp_path))
        assert ledger.verify(entries) == len(entries)
        [reopened] = [entry["detail"] for entry in entries if entry["action"] == "decide.reopened"]
        assert reopened["withdrawn_approvals"] == ["sarah"] and reopened["reason"] == "It changed."
        assert reopened["definition_sha256"] == [DEFINED, REDEFINED]


async def test_an_approval_that_comes_too_late_begins_no_new_review_no_matter_what_has_changed(
    tmp_path: Path,
) -> None:
    """Else a call could be kept waiting for ever."""
    async with open_store(tmp_path) as store:
        case = await waiting(store, review_seconds=0)
        with pytest.raises(ReviewExpired):
            await decisions_under(store, definition=REDEFINED).record(case.case_id, approval())
        assert (await store.read(case.case_id)).round_number == 1


async def test_a_reviewer_who_approves_while_the_case_is_judged_again_approves_nothing(
    tmp_path: Path,
) -> None:
    """Of the new round that reviewer has seen nothing."""
    async with open_store(tmp_path) as store:
        case, told = await waiting(store), []

        async def rule(judging: Case) -> Assessment:
            if not told:
                with pytest.raises(CallChanged):
                    await decisions_under(store, told, definition=REDEFINED).record(
                        case.case_id, approval("desk")
                    )
            return judged(judging.call, definition=REDEFINED)

        slow = Decisions(store=store, rule=rule, timeout=DAY, tell=told.append)
        with pytest.raises(CallChanged, match="has changed"):
            await slow.record(case.case_id, approval("sarah"))
        after = await store.read(case.case_id)
        assert after.round_number == 2 and after.status is Status.PENDING_REVIEW
        assert [each.case_id for each in told] == [case.case_id] * 2  # the reviewers were told


async def test_an_approval_counts_for_the_round_that_it_names_and_for_no_other(tmp_path: Path) -> None:
    """Not for one that was on its way again, nor for that of a second reviewer with an old notice."""
    async with open_store(tmp_path) as store:
        case, told = await waiting(store), []
        votes = decisions_under(store, told, definition=REDEFINED)
        for vote in (approval("sarah"), approval("sarah"), approval("desk"), approval(round_number=3)):
            with pytest.raises(CallChanged, match='Say "round": 2 to approve it as it is now') as refusal:
                await votes.record(case.case_id, vote)
            assert ("has changed" in str(refusal.value)) == (vote.round_number == 1)
        assert [each.round_number for each in told] == [2]  # the reviewers were told once
        second = approval("sarah", round_number=2)
        approved = await votes.record(case.case_id, second)
        assert approved.status is Status.AUTHORIZED
        assert await votes.record(case.case_id, second) == approved
        with pytest.raises(CallChanged):
            await votes.record(case.case_id, approval("sarah"))
    actions = [entry["action"] for entry in entries_in(tmp_path)]
    assert actions.count("decide.approved") == actions.count("decide.reopened") == 1


async def test_an_approval_of_an_earlier_round_is_of_no_use_when_the_call_is_over(tmp_path: Path) -> None:
    """It is told so, and not that the call waits."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)
        votes = decisions_under(store, definition=REDEFINED)
        with pytest.raises(CallChanged):
            await votes.record(case.case_id, approval())
        await votes.record(case.case_id, rejection())
        with pytest.raises(CaseFinished, match="REJECTED"):
            await votes.record(case.case_id, approval())


async def test_the_event_of_an_earlier_round_is_no_event_without_a_decision(tmp_path: Path) -> None:
    """The run of a call that was judged again is replayed with it; in the first round it is on record."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)
        await decide_after_wait(case.case_id, store=store, is_woken=True)
        with pytest.raises(CallChanged):
            await decisions_under(store, definition=REDEFINED).record(case.case_id, approval())
        again = await decide_after_wait(case.case_id, store=store, is_woken=True)
        assert again.status is Status.PENDING_REVIEW and again.round_number == 2
    actions = [entry["action"] for entry in entries_in(tmp_path)]
    assert actions.count("decide.event_without_decision") == 1


async def test_a_rejection_counts_although_the_case_is_judged_again_at_that_moment(tmp_path: Path) -> None:
    """It is about the call, in any round; the answer of 200 is only given for what is on record."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)

        class Overtaken(CaseStore):
            async def change(self, case_id: str, work: Any, **options: Any) -> Case:
                with pytest.raises(CallChanged):  # before the rejection is written
                    await decisions_under(store, definition=REDEFINED).record(case_id, approval("sarah"))
                return await super().change(case_id, work, **options)

        votes = decisions_under(Overtaken(store.database), definition=REDEFINED)
        rejected = await votes.record(case.case_id, rejection("desk", "not so"))
        assert rejected.status is Status.REJECTED and rejected.round_number == 2
        assert rejected.decision is not None and rejected.decision.reason == "not so"
        assert await store.read(case.case_id) == rejected
    actions = [entry["action"] for entry in entries_in(tmp_path)]
    assert actions.count("decide.reopened") == actions.count("decide.rejected") == 1


async def test_what_was_approved_before_definitions_were_recorded_is_executed_as_it_was_approved(
    tmp_path: Path,
) -> None:
    """An upgrade takes no approval away, also where it changes the policy."""
    async with open_store(tmp_path) as store:
        case = await waiting(store, definition=None)
        decision = recorded_approval(case)
        approved = await store.change(
            case.case_id, lambda connection: add_decision(connection, case, decision)
        )
        assert await said(store, approved, judged(case.call, policy_sha256="1" * 64)) is None


async def test_who_approves_an_old_case_that_still_waits_approves_the_tool_as_it_is_then(
    tmp_path: Path,
) -> None:
    """From that moment on it is on record."""
    async with open_store(tmp_path) as store:
        case = await waiting(store, definition=None)
        approved = await decisions_under(store).record(case.case_id, approval())
        assert approved.status is Status.AUTHORIZED and approved.definition_sha256 == DEFINED
        kept = await store.read(case.case_id)
        assert kept.definition_sha256 == DEFINED
        told = await said(store, kept, judged(case.call, definition=REDEFINED))
        assert told is not None and "has changed" in told
