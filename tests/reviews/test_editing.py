"""An approval with changed arguments: it is judged, begins a round, counts there, and what ran is that."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from kept import entries_in
from sqlalchemy.engine import Connection
from store import approval, assessment_of, open_case, open_store, tool_call
from words import whole_words

from atlas.cases.reviews import request_review
from atlas.cases.store import CaseStore, add_assessment, read_case
from atlas.decide import Decisions
from atlas.errors import (
    AskedAgain,
    CallChanged,
    CaseFinished,
    ExecutionRefused,
    KeyUsed,
    NotPermitted,
    RequestInvalid,
    ReviewExpired,
    RuleRefuses,
)
from atlas.grounds.authority import check_admission, check_approvals, check_grounds
from atlas.grounds.reopening import send_back
from atlas.grounds.seen import digest_of_seen
from atlas.models import Assessment, Case, Status, ToolCall
from atlas.review_rules import ReviewRules
from atlas.reviews.editing import MOST_EDITS
from atlas.reviews.tables import edits

DAY = timedelta(days=1)
MAY = ReviewRules(may_edit=("amount",))
Says = Callable[[ToolCall], dict[str, Any]]


def usual(call: ToolCall) -> dict[str, Any]:
    """A policy that lets the amount be changed, and has one person decide."""
    return {"review": MAY}


class House:
    """Decisions under a policy that a test writes, over a call that pays 500."""

    def __init__(self, store: CaseStore, says: Says = usual) -> None:
        self.store, self.says = store, says
        self.told: list[Case] = []
        self.decisions = Decisions(
            store=store, rule=self.rule, timeout=DAY, tell=self.told.append, accepts=self.accepts
        )

    async def rule(self, case: Case) -> Assessment:
        call = case.call_in_force
        return assessment_of(call, **self.says(call)).model_copy(update={"definition_sha256": "d" * 64})

    async def accepts(self, call: ToolCall) -> str | None:
        if not isinstance(call.arguments["amount"], int):
            raise RequestInvalid(reason="amount: a whole number.")
        return "d" * 64

    async def waiting(self, timeout: timedelta = DAY) -> Case:
        """A case that waits."""
        case = await open_case(self.store, tool_call("pay", amount=500, to="acme"))
        judged = await self.rule(case)

        def work(connection: Connection) -> Case:
            read = read_case(connection, case.case_id)
            return request_review(
                connection, add_assessment(connection, read, judged), timeout, reason="a test"
            )

        return await self.store.change(case.case_id, work)

    async def approve(self, case: Case, amount: Any = None, /, by: str = "anna", **fields: Any) -> Case:
        """An approval, with another amount if one is said."""
        more = fields.pop("more", {})
        vote = replace(
            approval(by, **{k: v for k, v in fields.items() if k == "round_number"}),
            **{k: v for k, v in fields.items() if k != "round_number"},
        )
        if amount is not None or more:
            arguments = {"amount": 500 if amount is None else amount, "to": "acme"} | more
            vote = replace(vote, arguments=arguments)
        return await self.decisions.record(case.case_id, vote)


def actions(directory: Path, *names: str) -> list[dict[str, Any]]:
    """The entries of some actions."""
    return [one for one in entries_in(directory) if one["action"] in names]


async def test_the_editors_approval_counts_in_the_round_that_the_edit_begins(tmp_path: Path) -> None:
    """Proposed and approved are two records, and the ledger has both digests and no value."""
    async with open_store(tmp_path) as store:
        house = House(store)
        case = await house.waiting()
        after = await house.approve(case, 50)
        assert after.status is Status.AUTHORIZED and after.round_number == 2
        assert after.call.arguments == {"amount": 500, "to": "acme"}
        assert after.call_in_force.arguments == {"amount": 50, "to": "acme"}
        assert after.decision is not None and after.decision.arguments_sha256 != case.call.arguments_sha256
        assert await store.read(case.case_id) == after

        def check(connection: Connection) -> None:
            check_grounds(after)
            check_approvals(connection, after)
            check_admission(connection, after)

        await store.database.read(check)
    [edited] = actions(tmp_path, "decide.edited")
    assert edited["actor"] == "anna" and edited["detail"]["paths"] == ["amount"]
    assert edited["detail"]["proposed_sha256"] == case.call.arguments_sha256
    assert edited["detail"]["arguments_sha256"] == after.call_in_force.arguments_sha256
    assert whole_words(edited["detail"]).isdisjoint({"50", "500", "acme"})


async def test_an_edit_that_no_ledger_entry_vouches_for_is_not_executed(tmp_path: Path) -> None:
    """A row in a table is not enough."""
    async with open_store(tmp_path) as store:
        house = House(store)
        after = await house.approve(await house.waiting(), 50)
        assert after.edit is not None
        forged = after.model_copy(update={"edit": after.edit.model_copy(update={"edited_by": "ben"})})
        with pytest.raises(ExecutionRefused):
            await store.database.read(lambda connection: check_admission(connection, forged))
        agents = after.model_copy(update={"edit": None})
        with pytest.raises(ExecutionRefused):
            check_grounds(agents)


async def test_the_same_edit_again_is_a_success_and_changes_nothing(tmp_path: Path) -> None:
    """A program whose answer got lost says it again."""
    async with open_store(tmp_path) as store:
        house = House(store)
        case = await house.waiting()
        first = await house.approve(case, 50, idempotency_key="k")
        assert await house.approve(case, 50, idempotency_key="k") == first
        with pytest.raises(CallChanged):
            await house.approve(case, 60)
        with pytest.raises(CaseFinished):
            await house.approve(case, 60, round_number=2)
    assert len(actions(tmp_path, "decide.edited")) == 1


async def test_one_key_stands_for_one_edit(tmp_path: Path) -> None:
    """Other arguments under the same key are another decision."""
    async with open_store(tmp_path) as store:
        house = House(store, lambda call: {"review": MAY, "approvals": 2})
        await house.approve(await house.waiting(), 50, idempotency_key="k")
        with pytest.raises(KeyUsed):
            other = await open_case(store, tool_call("pay", amount=500, to="other"))
            await house.decisions.record(
                other.case_id,
                replace(approval("anna"), arguments={"amount": 60, "to": "other"}, idempotency_key="k"),
            )


async def test_a_second_person_approves_the_changed_call_and_not_the_first_one(tmp_path: Path) -> None:
    """The one before the edit counts no more."""
    async with open_store(tmp_path) as store:
        house = House(store, lambda call: {"review": MAY, "approvals": 2})
        case = await house.waiting()
        await house.approve(case, by="ben")
        edited = await house.approve(case, 50, by="anna")
        assert edited.status is Status.PENDING_REVIEW and edited.round_number == 2
        assert [one.round_number for one in house.told] == [2]
        with pytest.raises(CallChanged, match="anna changed the arguments: amount"):
            await house.approve(case, by="ben")
        again = await house.approve(case, by="anna", round_number=2)  # Anna is one person
        assert again.status is Status.PENDING_REVIEW
        done = await house.approve(case, by="ben", round_number=2)
        assert done.status is Status.AUTHORIZED and done.call_in_force.arguments["amount"] == 50
    [edited_entry] = actions(tmp_path, "decide.edited")
    assert edited_entry["detail"]["withdrawn_approvals"] == ["ben"]


async def test_an_edit_can_be_taken_back_to_what_the_agent_proposed(tmp_path: Path) -> None:
    """Which is another round, too."""
    async with open_store(tmp_path) as store:
        house = House(store, lambda call: {"review": MAY, "approvals": 2})
        case = await house.waiting()
        await house.approve(case, 50, by="anna")
        back = await house.approve(case, 500, by="ben", round_number=2)
        assert back.round_number == 3 and back.call_in_force.arguments == case.call.arguments
        done = await house.approve(case, by="anna", round_number=3)
        assert done.status is Status.AUTHORIZED
        check_grounds(done)


async def test_no_one_keeps_a_call_waiting_for_ever_by_edits(tmp_path: Path) -> None:
    """Each one begins a round with its own time; the call can still be approved and rejected."""
    async with open_store(tmp_path) as store:
        house = House(store, lambda call: {"review": MAY, "approvals": 2})
        case = await house.waiting()
        for number in range(1, MOST_EDITS + 1):
            case = await house.approve(case, number, round_number=number)
        last = {"round_number": MOST_EDITS + 1}
        with pytest.raises(RuleRefuses, match="which is the limit"):
            await house.approve(case, 77, **last)
        assert (await house.approve(case, by="ben", **last)).status is Status.AUTHORIZED


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (lambda call: {}, RuleRefuses),  # no rule lets anyone change it
        (lambda call: {"review": MAY, "is_denied": call.arguments["amount"] < 100}, RuleRefuses),
        (
            lambda call: (
                {"review": MAY} | ({"reviewers": ("ben",)} if call.arguments["amount"] < 100 else {})
            ),
            RuleRefuses,
        ),
        (
            lambda call: (
                {"review": MAY} | ({"reviewers": ("ben",)} if call.arguments["amount"] > 100 else {})
            ),
            RuleRefuses,
        ),
        (
            lambda call: {
                "review": MAY,
                "policy_sha256": ("1" if call.arguments["amount"] < 100 else "0") * 64,
            },
            CallChanged,
        ),
    ],
    ids=["no_rule", "denied", "others_decide_the_new", "others_decide_the_old", "policy_in_between"],
)
async def test_an_edit_is_no_way_around_a_rule(tmp_path: Path, says: Says, error: type[Exception]) -> None:
    """Neither around one on the agent's call, nor around one on the changed call."""
    async with open_store(tmp_path) as store:
        house = House(store, says)
        case = await house.waiting()
        with pytest.raises(error):
            await house.approve(case, 50)
        assert await store.read(case.case_id) == case
        assert await store.database.read(lambda c: c.execute(sa.select(edits)).all()) == []
    assert len(actions(tmp_path, "decide.refused")) == (error is RuleRefuses)


async def test_an_edit_to_a_milder_call_keeps_the_approvals_of_the_first(tmp_path: Path) -> None:
    """And to a call for which two have to approve it takes two."""
    for first, second in ((2, 1), (1, 2)):
        directory = tmp_path / str(first)
        directory.mkdir()
        async with open_store(directory) as store:
            says: Says = lambda call, a=first, b=second: {  # noqa: E731
                "review": MAY,
                "approvals": a if call.arguments["amount"] > 100 else b,
            }
            house = House(store, says)
            after = await house.approve(await house.waiting(), 50)
            assert after.status is Status.PENDING_REVIEW and after.round_number == 2
            assert after.assessment is not None and after.assessment.approvals == 2


async def test_where_a_passkey_is_asked_for_the_edit_waits_for_an_approval_of_its_own(tmp_path: Path) -> None:
    """It signs the changed call, which is there only then."""
    async with open_store(tmp_path) as store:
        strict = MAY.model_copy(update={"needs_passkey": True})
        house = House(store, lambda call: {"review": strict})
        after = await house.approve(await house.waiting(), 50)
        assert after.status is Status.PENDING_REVIEW and after.round_number == 2 and after.decision is None


async def test_where_a_rule_asks_once_more_the_changed_call_waits_in_its_round(tmp_path: Path) -> None:
    """The score of the changed call is hidden until a first choice, as it was of the agent's."""
    async with open_store(tmp_path) as store:
        hiding = MAY.model_copy(update={"hides_score": True})
        house = House(
            store, lambda call: {"review": hiding} if call.arguments["amount"] < 100 else {"review": MAY}
        )
        case = await house.waiting()
        with pytest.raises(AskedAgain, match="The call waits in round 2"):
            await house.approve(case, 50)
        after = await store.read(case.case_id)
        assert after.status is Status.PENDING_REVIEW and after.round_number == 2 and after.decision is None
        seen = digest_of_seen(after)
        done = await house.approve(case, round_number=2, seen_sha256=seen)
        assert done.status is Status.AUTHORIZED and done.call_in_force.arguments["amount"] == 50


@pytest.mark.parametrize("amount", ["50", 50.5, True, None])
async def test_what_the_tool_would_not_take_is_refused(tmp_path: Path, amount: Any) -> None:
    """By its type, or by the schema."""
    async with open_store(tmp_path) as store:
        house = House(store)
        case = await house.waiting()
        with pytest.raises(RequestInvalid):
            await house.approve(case, more={"amount": amount})
        assert await store.read(case.case_id) == case


async def test_another_argument_is_not_changed_beside_it(tmp_path: Path) -> None:
    """The refusal is in the ledger."""
    async with open_store(tmp_path) as store:
        house = House(store)
        case = await house.waiting()
        with pytest.raises(RuleRefuses, match="to"):
            await house.approve(case, 50, more={"to": "evil"})
        assert await store.read(case.case_id) == case
    [refused] = actions(tmp_path, "decide.refused")
    assert refused["detail"]["rule"] == "may_edit" and "evil" not in str(refused)


async def test_an_edit_too_late_is_refused(tmp_path: Path) -> None:
    """As any approval is."""
    async with open_store(tmp_path) as store:
        house = House(store)
        case = await house.waiting(timeout=timedelta(microseconds=1))
        with pytest.raises(ReviewExpired):
            await house.approve(case, 50)


async def test_a_policy_that_comes_later_can_take_the_leave_to_change_away(tmp_path: Path) -> None:
    """What was changed is then not approved any more; what the agent proposed is."""
    async with open_store(tmp_path) as store:
        house = House(store, lambda call: {"review": MAY, "approvals": 2})
        case = await house.waiting()
        await house.approve(case, 50, by="anna")
        house.says = lambda call: {"policy_sha256": "1" * 64, "approvals": 1}
        with pytest.raises(CallChanged):
            await house.approve(case, by="ben", round_number=2)
        with pytest.raises(RuleRefuses, match="no one change"):
            await house.approve(case, by="ben", round_number=3)
        back = await house.approve(case, 500, by="ben", round_number=3)
        assert back.status is Status.AUTHORIZED and back.call_in_force.arguments == case.call.arguments


async def test_a_name_that_no_one_checked_cannot_edit_for_two(tmp_path: Path) -> None:
    """As it cannot approve."""
    async with open_store(tmp_path) as store:
        house = House(store, lambda call: {"review": MAY, "approvals": 2})
        case = await house.waiting()
        with pytest.raises(NotPermitted):
            await house.approve(case, 50, is_signed=False)
        assert await store.read(case.case_id) == case


async def test_of_two_people_who_edit_at_once_one_does(tmp_path: Path) -> None:
    """The other one is told that the call is another one now."""
    async with open_store(tmp_path) as store:
        house = House(store)
        for number in range(25):
            call = tool_call("pay", amount=500, to="acme", number=number)
            case = await open_case(store, call)
            votes = [
                replace(approval(name), arguments=call.arguments | {"amount": amount})
                for name, amount in (("anna", 50), ("ben", 60))
            ]
            ended = await asyncio.gather(
                *(house.decisions.record(case.case_id, vote) for vote in votes), return_exceptions=True
            )
            won = [one for one in ended if isinstance(one, Case)]
            assert len(won) == 1 and won[0].decision is not None
            assert sum(isinstance(one, (CallChanged, CaseFinished)) for one in ended) == 1
            amount = {"anna": 50, "ben": 60}[won[0].decision.reviewer]
            assert (await store.read(case.case_id)).call_in_force.arguments["amount"] == amount


class Reopening(House):
    """A house in which a round begins while the new arguments are judged."""

    is_armed = False

    async def rule(self, case: Case) -> Assessment:
        if self.is_armed:
            self.is_armed = False
            await self.store.change(case.case_id, partial(self._reopen, case=case))
        return await super().rule(case)

    def _reopen(self, connection: Connection, *, case: Case) -> Case:
        ruled = assessment_of(case.call, review=MAY).model_copy(update={"definition_sha256": "d" * 64})
        found = read_case(connection, case.case_id)
        return send_back(connection, found, ruled, DAY, reason="The policy was changed.")


async def test_an_edit_of_a_round_that_began_while_it_was_judged_approves_nothing(tmp_path: Path) -> None:
    """Right: it is refused, and can be sent once more. Wrong: the edit is dropped, and the vote approves what
    the agent proposed, which the person did not want."""
    async with open_store(tmp_path) as store:
        house = Reopening(store)
        case = await house.waiting()
        house.is_armed = True
        with pytest.raises(CallChanged, match="Round 2 began while the new arguments were judged"):
            await house.approve(case, 400, round_number=2)
        found = await store.read(case.case_id)
        assert (found.status, found.round_number, found.decision) == (Status.PENDING_REVIEW, 2, None)
        edited = await house.approve(case, 400, round_number=2)
        assert edited.status is Status.AUTHORIZED and edited.call_in_force.arguments["amount"] == 400
