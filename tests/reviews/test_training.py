"""A training that a rule asks for: missing, over, taken back, or that of the wrong person."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from rules_for_people import DAY, Office, add, delegated, trained
from store import approval, open_store, rejection

from atlas.cases.store import CaseStore
from atlas.errors import PersonRefused, RuleRefuses
from atlas.instants import now
from atlas.ledger import Action
from atlas.models import Status
from atlas.people.records.trainings import untrain
from atlas.people.tables import trainings
from atlas.reviews.permission import who_may
from atlas.reviews.recording import MOST_REFUSALS, note_refusal


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CaseStore]:
    """A store with two people."""
    async with open_store(tmp_path) as opened:
        await add(opened, anna="desk", ben="")
        yield opened


async def test_a_training_lets_approve_while_it_counts(store: CaseStore) -> None:
    """Without it, after its end and after it was taken back a person reads why, and may reject."""
    office = Office(store, trainings=("benefits",))
    case = await office.case()

    async def refused(said: str) -> None:
        with pytest.raises(RuleRefuses, match=said):
            await office.approve(case, "anna")
        assert await office.read(partial(who_may, case=case)) == ()

    await refused("a training for benefits, and that of anna is not on record. anna can reject it")
    await trained(store, "anna", until=now() + DAY)
    assert await office.read(partial(who_may, case=case)) == ("anna",)
    await store.database.write(
        lambda connection: connection.execute(trainings.update().values(until=now() - DAY))
    )
    await refused("that of anna was over at")
    await trained(store, "anna", until=None)
    await store.database.write(partial(untrain, name="anna", scope="benefits", actor="operator"))
    await refused("that of anna was")
    assert {one["detail"]["rule"] for one in office.entries(Action.RULE_REFUSED)} == {"training"}
    assert (await office.decisions.record(case.case_id, rejection("anna"))).status is Status.REJECTED


async def test_a_program_that_tries_for_ever_does_not_fill_the_ledger(store: CaseStore) -> None:
    """The same refusal is one entry; others of one person are some; another person has their own."""
    office = Office(store, trainings=("benefits",))
    case = await office.case()
    for name in ("anna", "anna", "anna", "ben", "ben"):
        with pytest.raises(RuleRefuses):
            await office.approve(case, name)
    assert [one["actor"] for one in office.entries(Action.RULE_REFUSED)] == ["anna", "ben"]
    for number in range(MOST_REFUSALS + 5):
        refusal = RuleRefuses(rule="training", reason=f"another {number}")
        note = partial(note_refusal, case_id=case.case_id, vote=approval("anna"), refusal=refusal)
        await store.database.write(note)
    assert len(office.entries(Action.RULE_REFUSED)) == MOST_REFUSALS + 1


@pytest.mark.parametrize("scope", ["Benefits", "benefits ", "benefit", "benefits,other"])
async def test_a_training_for_another_scope_lets_no_one_approve(store: CaseStore, scope: str) -> None:
    """A scope is compared as it is written."""
    office = Office(store, trainings=("benefits",))
    await trained(store, "anna", scope, until=None)
    with pytest.raises(RuleRefuses, match="is not on record"):
        await office.approve(await office.case(), "anna")


async def test_several_trainings_are_all_needed(store: CaseStore) -> None:
    """Those of two rules that match one call."""
    office = Office(store, trainings=("benefits", "appeals"))
    await trained(store, "anna", until=None)
    case = await office.case()
    with pytest.raises(RuleRefuses, match="a training for appeals"):
        await office.approve(case, "anna")
    await trained(store, "anna", "appeals", until=None)
    assert (await office.approve(case, "anna")).status is Status.AUTHORIZED


async def test_the_training_is_that_of_the_person_who_acts(store: CaseStore) -> None:
    """Anna's training does not make her delegate one who knows it."""
    office = Office(store, reviewers=("anna",), trainings=("benefits",))
    await delegated(store, "anna", "ben")
    await trained(store, "anna", until=None)
    case = await office.case()
    with pytest.raises(RuleRefuses, match="that of ben is not on record"):
        await office.approve(case, "ben")
    await trained(store, "ben", until=None)
    decided = await office.approve(case, "ben")
    assert decided.decision and decided.decision.on_behalf_of == "anna"


async def test_a_training_that_is_over_already_or_not_there_cannot_be_noted_or_taken_back(
    store: CaseStore,
) -> None:
    """With a sentence."""
    with pytest.raises(PersonRefused, match="over already"):
        await trained(store, "anna", until=now() - DAY)
    with pytest.raises(PersonRefused, match="no training for benefits that counts"):
        await store.database.write(partial(untrain, name="anna", scope="benefits", actor="operator"))
