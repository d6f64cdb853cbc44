"""Different people: delegates of each other, owners and earlier rounds; and attempts to get past it."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rules_for_people import DAY, Office, add, delegated, moved
from sqlalchemy.engine import Connection
from store import assessment_of, open_store

from atlas.cases.store import CaseStore, add_approval, read_case
from atlas.errors import ExecutionRefused, RuleRefuses
from atlas.grounds.authority import check_approvals
from atlas.grounds.reopening import send_back
from atlas.instants import now
from atlas.ledger import Action
from atlas.models import Approval, Case, Status
from atlas.people.records import delegations
from atlas.reviews.permission import who_may


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CaseStore]:
    """A store with four people of one group."""
    async with open_store(tmp_path) as opened:
        await add(opened, anna="desk", ben="desk", carla="desk", dora="")
        yield opened


async def test_two_approvals_want_two_people_and_a_delegate_is_none_beside_the_giver(
    store: CaseStore,
) -> None:
    """In either order; a third person completes it."""
    office = Office(store, approvals=2, reviewers=("group:desk",))
    await delegated(store, "anna", "dora")
    first = await office.case(n=1)
    await office.approve(first, "dora")
    with pytest.raises(
        RuleRefuses, match="dora has approved it for anna, and anna counts as the same person"
    ):
        await office.approve(first, "anna")
    assert await office.read(partial(who_may, case=first)) == ("ben", "carla")
    assert (await office.approve(first, "ben")).status is Status.AUTHORIZED
    second = await office.case(n=2)
    await office.approve(second, "anna")
    with pytest.raises(RuleRefuses, match="dora, who decides for anna, counts as the same person"):
        await office.approve(second, "dora")
    await office.approve(second, "anna")  # once more changes nothing
    assert (await office.approve(second, "carla")).status is Status.AUTHORIZED
    assert {one["detail"]["rule"] for one in office.entries(Action.RULE_REFUSED)} == {"separate"}


async def test_a_delegate_of_two_counts_once_and_takes_the_one_who_has_not_approved(store: CaseStore) -> None:
    """One who decides for anna and for ben cannot be both of them."""
    office = Office(store, approvals=2, reviewers=("anna", "ben"))
    await delegated(store, "anna", "dora")
    await delegated(store, "ben", "dora")
    case = await office.case(n=1)
    await office.approve(case, "dora", on_behalf_of="anna")
    again = await office.approve(case, "dora", on_behalf_of="ben")
    assert again.status is Status.PENDING_REVIEW and len(office.entries(Action.APPROVAL_COUNTED)) == 1
    other = await office.case(n=2)
    await office.approve(other, "anna")
    decided = await office.approve(other, "dora")
    assert decided.decision and decided.decision.on_behalf_of == "ben"


async def test_without_separate_a_delegate_who_may_approve_is_a_person_of_their_own(store: CaseStore) -> None:
    """With it the two are one, in either order."""
    await delegated(store, "anna", "ben")
    free, strict = (Office(store, approvals=2, is_separate=one) for one in (False, True))
    case = await free.case(n=1)
    await free.approve(case, "anna")
    assert (await free.approve(case, "ben")).status is Status.AUTHORIZED
    for number, (first, second) in enumerate((("anna", "ben"), ("ben", "anna"))):
        case = await strict.case(strict=number)
        await strict.approve(case, first)
        with pytest.raises(RuleRefuses, match="counts as the same person"):
            await strict.approve(case, second)
        assert await strict.read(partial(who_may, case=case)) == ("carla", "dora")
        assert (await strict.approve(case, "carla")).status is Status.AUTHORIZED


async def test_a_delegation_that_ended_before_the_first_approval_ties_no_one(store: CaseStore) -> None:
    """One that held at an approval ties the two also after its end."""
    office = Office(store, approvals=2, is_separate=True)
    over = await delegated(store, "anna", "ben")
    await store.database.write(
        lambda connection: delegations.end(connection, over.delegation_id, actor="anna")
    )
    case = await office.case(n=1)
    await office.approve(case, "anna")
    assert (await office.approve(case, "ben")).status is Status.AUTHORIZED
    held = await delegated(store, "anna", "ben")
    case = await office.case(n=2)
    await office.approve(case, "anna")
    await store.database.write(
        lambda connection: delegations.end(connection, held.delegation_id, actor="anna")
    )
    with pytest.raises(RuleRefuses, match="counts as the same person"):
        await office.approve(case, "ben")


@pytest.mark.parametrize("look_alike", ["Anna", "ANNA", "ａnna"])
async def test_two_names_that_look_alike_are_one_person_for_a_delegate_too(
    store: CaseStore, look_alike: str
) -> None:
    """A key may be called Anna where an account is called anna."""
    office = Office(store, approvals=2)
    await delegated(store, "anna", "dora")
    case = await office.case()
    await office.approve(case, "dora", on_behalf_of="anna")
    with pytest.raises(RuleRefuses, match="counts as the same person"):
        await office.approve(case, look_alike)


async def second_round(store: CaseStore, case: Case, **fields: Any) -> Case:
    """The case after it was judged again."""

    def work(connection: Connection) -> Case:
        found = read_case(connection, case.case_id)
        return send_back(connection, found, assessment_of(found.call, **fields), DAY, reason="a test")

    return await store.change(case.case_id, work)


async def test_a_person_of_an_earlier_round_is_kept_out_and_so_is_their_delegate(store: CaseStore) -> None:
    """Where the rule says separate; else the same person approves what was judged again."""
    for is_separate in (True, False):
        office = Office(store, is_separate=is_separate, approvals=2)
        case = await office.case(separate=is_separate)
        await office.approve(case, "anna")
        made = await delegated(store, "anna", "ben")
        await again(store, office, case)
        for name in ("anna", "ben"):
            if is_separate:
                with pytest.raises(RuleRefuses, match="in an earlier round"):
                    await office.approve(case, name, round_number=2)
        await store.database.write(
            lambda connection, made=made: delegations.end(connection, made.delegation_id, actor="anna")
        )
        first = "carla" if is_separate else "anna"
        await office.approve(case, first, round_number=2)
        assert (await office.approve(case, "dora", round_number=2)).status is Status.AUTHORIZED


async def again(store: CaseStore, office: Office, case: Case) -> None:
    """Have the case of an office judged again."""
    await second_round(store, case, **office.fields)


async def test_the_delegate_of_an_owner_has_to_do_with_the_agent(store: CaseStore) -> None:
    """In both directions, and for their own name; without separate only the owner is kept out."""
    await delegated(store, "anna", "ben")
    await moved(store, await delegated(store, "anna", "carla"), DAY)
    for is_separate in (True, False):
        office = Office(store, owners=frozenset({"anna"}), is_separate=is_separate)
        case = await office.case(separate=is_separate)
        may = await office.read(partial(who_may, case=case, owners=office.owners))
        assert may == (("carla", "dora") if is_separate else ("ben", "carla", "dora"))
        if is_separate:
            with pytest.raises(RuleRefuses, match="anna owns the agent agent, and ben decides for anna now"):
                await office.approve(case, "ben")


async def test_before_the_execution_the_approvals_are_counted_again(store: CaseStore) -> None:
    """What stands in the store without the rules having been asked, for instance."""
    office = Office(store, approvals=2)
    case = await office.case()
    await office.approve(case, "dora")

    def forge(connection: Connection) -> Case:
        found = read_case(connection, case.case_id)
        forged = Approval(
            reviewer="Dora", reason=None, arguments_sha256=found.call.arguments_sha256, decided_at=now()
        )
        add_approval(connection, found, forged)
        add_approval(connection, found, forged.model_copy(update={"reviewer": "x", "on_behalf_of": "dora"}))
        return found

    await store.change(case.case_id, forge)
    await office.approve(case, "ben")
    decided = await store.read(case.case_id)
    await office.read(partial(check_approvals, case=decided))
    more = decided.assessment.ruling.model_copy(update={"approvals": 3})  # type: ignore[union-attr]
    judged = decided.assessment.model_copy(update={"ruling": more})  # type: ignore[union-attr]
    asked = decided.model_copy(update={"assessment": judged})
    with pytest.raises(ExecutionRefused, match="it has too few approvals"):
        await office.read(partial(check_approvals, case=asked))


async def test_an_approval_that_was_given_once_is_a_success_again(store: CaseStore) -> None:
    """Also where the person could not give it any more: nothing is decided by it."""
    office = Office(store, reviewers=("anna",), trainings=())
    made = await delegated(store, "anna", "dora")
    case = await office.case()
    first = await office.approve(case, "dora")
    await store.database.write(
        lambda connection: delegations.end(connection, made.delegation_id, actor="anna")
    )
    assert await office.approve(case, "dora") == first
