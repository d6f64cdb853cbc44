"""What a rule hides stays hidden: from digests, from refusals and from what a changed policy says."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from judged_calls import DAY, decisions_under, judged, waiting
from rules_for_people import Office
from sqlalchemy.engine import Connection
from store import approval, assessment_of, open_case, open_store, tool_call
from words import whole_words

from atlas.attention.hiding import HIDDEN
from atlas.attention.seeded import seed
from atlas.cases.figures.period import FiguresKept
from atlas.cases.figures.tallies import Answer
from atlas.cases.judgements import record_assessment
from atlas.cases.lists.listing import lines_of
from atlas.cases.showing import shown
from atlas.cases.store import CaseStore
from atlas.decide import decide_by_score
from atlas.desk.case.dossier import read_dossier
from atlas.errors import AskedAgain, CallChanged, CaseFinished, RuleRefuses
from atlas.grounds.seen import digest_of_parts
from atlas.instants import now
from atlas.ledger import Action
from atlas.models import Case, Status
from atlas.plans.tables import plans
from atlas.review_rules import ReviewRules
from atlas.reviews.together import why_alone

HIDES: dict[str, Any] = {"review": ReviewRules(hides_score=True)}


def digests(case: Case) -> list[str]:
    """What a person would have seen with each possible score."""
    assert case.assessment is not None and case.assessment.ruling is not None
    parts: dict[str, Any] = {
        "case_id": case.case_id,
        "round_number": case.round_number,
        "arguments_sha256": case.call_in_force.arguments_sha256,
        "definition_sha256": case.definition_sha256,
        "policy_sha256": case.assessment.ruling.policy_sha256,
    }
    return [digest_of_parts(**parts, risk_score=score) for score in range(101)]


async def seeded_in(store: CaseStore) -> Case | None:
    """A seeded case, if it can be made."""
    made = tool_call("pay", principal="billing-bot", amount=7)
    work = partial(seed, call=made, ruled=judged(made, definition="a" * 64), why="bad", timeout=DAY)
    return await store.database.write(work)


async def test_a_list_names_no_digest_from_which_the_score_can_be_tried(tmp_path: Path) -> None:
    """There are 101 scores, and all other parts are known."""
    async with open_store(tmp_path) as store:
        case = await Office(store, hides_score=True).case()
        [line] = await store.database.read(lambda connection: lines_of(connection, [case.case_id]))
        assert line.is_score_hidden and line.seen_sha256 not in digests(case)
        [shown] = await store.database.read(lambda connection: lines_of(connection, [case.case_id]))
        seen = {"seen_sha256": shown.seen_sha256}
        with pytest.raises(AskedAgain):  # it is the digest of what the person saw
            await Office(store, hides_score=True).approve(case, "anna", **seen)


async def test_a_refusal_does_not_tell_whether_a_score_was_guessed(tmp_path: Path) -> None:
    """All of the digests are refused alike, until a first choice is on record."""
    async with open_store(tmp_path) as store:
        office = Office(store, hides_score=True)
        case = await office.case()
        said = set()
        for sha256 in digests(case):
            with pytest.raises(CallChanged) as refused:
                await office.approve(case, "anna", seen_sha256=sha256)
            said.add(str(refused.value))
        assert len(said) == 1
        with pytest.raises(AskedAgain):
            await office.approve(case, "anna")
        decided = await office.approve(case, "anna", seen_sha256=digests(case)[80])
        assert decided.status is Status.AUTHORIZED


@pytest.mark.parametrize("hides_then", [True, False])
async def test_another_policy_does_not_say_what_the_score_was(tmp_path: Path, hides_then: bool) -> None:
    """Neither the refusal nor the new round names it, where the rule before or after hides it."""
    async with open_store(tmp_path) as store:
        case = await waiting(store, **HIDES)
        after = HIDES if hides_then else {}
        other = decisions_under(store, policy_sha256="1" * 64, risk_score=91, classification="worse", **after)
        with pytest.raises(CallChanged) as refused:
            await other.record(case.case_id, approval("anna"))
        told = (await store.read(case.case_id)).assessment
        assert told is not None and told.reopened_because is not None
        for text in (str(refused.value), told.reopened_because):
            assert "its score" in text and whole_words(text).isdisjoint({"80", "91", "worse"})


async def test_the_overview_does_not_tell_the_decade_of_a_hidden_score(tmp_path: Path) -> None:
    """It counts as 100 until it is decided, as lists have it; then its score is told."""
    async with open_store(tmp_path) as store:
        office, figures = Office(store, hides_score=True), FiguresKept(store.database)
        case = await office.case()
        assert (await figures.of(7)).all.answers == {(90, Answer.OPEN): 1}
        with pytest.raises(AskedAgain):
            await office.approve(case, "anna")
        decided = await office.approve(case, "anna", seen_sha256=digests(case)[80])
        assert decided.status is Status.AUTHORIZED
        assert (await figures.of(7)).all.answers == {(80, Answer.APPROVED_BY_PERSON): 1}


async def test_a_seeded_call_that_the_policy_denies_now_is_told_as_others_are(tmp_path: Path) -> None:
    """No receipt says that an approval was recorded of what the policy denied before it counted."""
    async with open_store(tmp_path) as store:
        case = await seeded_in(store)
        assert case is not None
        denying = decisions_under(store, definition="a" * 64, policy_sha256="1" * 64, is_denied=True)
        with pytest.raises(CaseFinished):
            await denying.record(case.case_id, approval("anna"))
        assert (await store.read(case.case_id)).status is Status.DENIED


async def test_nothing_is_seeded_that_a_plan_would_have_let_pass(tmp_path: Path) -> None:
    """A call that waits although a plan fits is one that no agent made."""
    async with open_store(tmp_path) as store:
        row = {"plan_id": "plan_0123456789ab", "tool_name": "pay", "most_calls": 9, "ends_at": now() + DAY}
        made = {"reason": "weekly", "made_by": "anna", "made_at": now(), "is_signed": True, "groups": "[]"}
        digests_of_plan = {"policy_sha256": "0" * 64, "definition_sha256": "a" * 64}
        values = row | made | digests_of_plan
        await store.database.write(lambda connection: connection.execute(plans.insert().values(**values)))
        assert await seeded_in(store) is None
        stopped = plans.update().values(stopped_at=now(), stopped_by="anna")
        await store.database.write(lambda connection: connection.execute(stopped))
        assert await seeded_in(store) is not None


async def test_who_judged_does_not_tell_that_the_score_is_100(tmp_path: Path) -> None:
    """An assessor that failed has judged with 100: neither the case nor its entries say that it failed."""
    async with open_store(tmp_path) as store:
        case = await Office(store, hides_score=True).case()
        failed = assessment_of(case.call, 100, **HIDES).model_copy(update={"assessor": "model (failed)"})
        unjudged = await open_case(store, tool_call(n=2))

        def judge(connection: Connection) -> Case:
            return decide_by_score(connection, record_assessment(connection, unjudged, failed), timeout=DAY)

        await store.change(unjudged.case_id, judge)
        seen = await store.database.read(partial(shown, case_id=unjudged.case_id, person="anna"))
        page = await store.database.read(partial(read_dossier, case_id=unjudged.case_id, person="anna"))
    assert seen.assessment is not None and seen.assessment.assessor == "model"
    assert not [entry.actor for entry in (*seen.timeline, *page.entries) if "failed" in entry.actor]


@pytest.mark.parametrize("score", [60, 80])
async def test_why_a_call_is_decided_alone_does_not_tell_on_which_side_of_a_limit_it_is(score: int) -> None:
    """A rule asks for a reason from 70 on, and hides the score."""
    rules = ReviewRules(hides_score=True, reason_from=70)
    call = tool_call(n=1)
    case = Case(case_id="evt_1", call=call, status=Status.PENDING_REVIEW, opened_at=now())
    judged_case = case.model_copy(update={"assessment": assessment_of(call, score, review=rules)})
    assert why_alone(judged_case, below=90) == "the policy asks for a first choice"


async def test_what_a_rule_refused_to_another_person_does_not_tell_the_score(tmp_path: Path) -> None:
    """Ben was asked for a reason "from score 70 on"; anna has not chosen yet."""
    async with open_store(tmp_path) as store:
        office = Office(store, hides_score=True, reason_from=70)
        case = await office.case()
        with pytest.raises(AskedAgain):
            await office.approve(case, "ben")
        with pytest.raises(RuleRefuses):
            await office.approve(case, "ben", seen_sha256=digests(case)[80])
        seen = await store.database.read(partial(shown, case_id=case.case_id, person="anna"))
    refused = [entry for entry in seen.timeline if entry.action == Action.RULE_REFUSED.value]
    assert [entry.detail for entry in refused] == [HIDDEN]
