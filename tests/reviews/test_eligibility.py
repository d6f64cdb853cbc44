"""Who may approve: by name, by a group, or for another person; and attempts to get past it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rules_for_people import DAY, HOUR, Office, add, delegated, moved
from sqlalchemy.engine import Connection
from store import open_store, rejection

from atlas.cases.store import CaseStore
from atlas.errors import NotPermitted, PersonRefused, RuleRefuses
from atlas.instants import now
from atlas.ledger import Action
from atlas.models import Status
from atlas.people.accounts import accounts
from atlas.people.person import Person, Way
from atlas.people.records import delegations, keeping
from atlas.people.records.delegations import MOST_AT_ONCE
from atlas.people.records.directory import Directory
from atlas.reviews.eligibility import entries_for
from atlas.reviews.permission import candidates, may_decide, standing_of, who_may
from atlas.reviews.situation import Situation
from atlas.reviews.tables import escalations


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CaseStore]:
    """A store with four people."""
    async with open_store(tmp_path) as opened:
        await add(opened, anna="seniors", ben="desk", carla="seniors desk", dora="")
        yield opened


def of(name: str, *groups: str) -> Person:
    """A person who has signed in with an account."""
    return Person(name=name, groups=groups, way=Way.ACCOUNT)


async def test_a_group_lets_its_members_approve_and_no_one_else(store: CaseStore) -> None:
    """A name beside it does too, and a rejection always counts."""
    office = Office(store, reviewers=("group:seniors", "dora"))
    for name, may in (("anna", True), ("carla", True), ("dora", True), ("ben", False), ("eve", False)):
        case = await office.case(who=name)
        if may:
            assert (await office.approve(case, name)).status is Status.AUTHORIZED
        else:
            with pytest.raises(RuleRefuses, match="the group seniors, dora approve case"):
                await office.approve(case, name)
            assert (await office.decisions.record(case.case_id, rejection(name))).status is Status.REJECTED
    refused = office.entries(Action.RULE_REFUSED)
    assert [one["detail"]["rule"] for one in refused] == ["reviewers", "reviewers"]


@pytest.mark.parametrize(
    "name",
    [
        "group:seniors",  # a name that reads as the group
        "Anna",  # which looks like anna
        "аnna",
        "seniors",
        "anna ",
    ],
)
async def test_a_look_alike_of_a_name_or_a_group_may_not_approve(store: CaseStore, name: str) -> None:
    """A key can have any name."""
    office = Office(store, reviewers=("group:seniors", "anna"))
    case = await office.case()
    with pytest.raises(RuleRefuses):
        await office.approve(case, name)
    assert name not in await office.read(partial(who_may, case=case))


async def test_where_a_rule_names_people_no_others_are_looked_at(store: CaseStore) -> None:
    """Those of the rule and of delegations are asked about, and they are all who may."""
    await add(store, **{f"other{number}": "desk" for number in range(40)})
    office = Office(store, reviewers=("group:seniors", "other7"))
    case = await office.case()
    await delegated(store, "other7", "other9")

    def look(connection: Connection) -> tuple[list[str], list[str]]:
        everyone = Directory.of_everyone(connection)
        situation = Situation(connection, case, frozenset(), everyone)
        asked = [one.name for one in candidates(situation)]
        return asked, [one.name for one in everyone.people if may_decide(situation, one.name)]

    asked, may = await office.read(look)
    assert asked == may == ["anna", "carla", "other7", "other9"]


@pytest.mark.parametrize("group", ['a"b', "a,b", "группа", "%", "group:x", "a' OR 1=1 --", "[]"])
async def test_a_group_with_odd_characters_is_one_group(store: CaseStore, group: str) -> None:
    """As a provider may name one."""
    await add(store, eve="")
    await store.database.write(partial(keeping.note_groups, name="eve", groups=[group]))
    office = Office(store, reviewers=(f"group:{group}",))
    case = await office.case()
    assert await office.read(partial(who_may, case=case)) == ("eve",)
    with pytest.raises(RuleRefuses):
        await office.approve(case, "anna")
    assert (await office.approve(case, "eve")).status is Status.AUTHORIZED


async def test_a_session_that_keeps_an_old_group_gives_it_to_no_one(store: CaseStore) -> None:
    """The groups of the last sign-in count; before any was noted, those of the session do."""
    office = Office(store, reviewers=("group:leads",))
    case = await office.case()
    session = ("leads",)
    assert (await office.read(partial(standing_of, case=case, person=of("olga", *session)))).may_approve
    note = partial(keeping.note_groups, name="olga", groups=["desk"])
    await store.database.write(note)
    told = await office.read(partial(standing_of, case=case, person=of("olga", *session)))
    assert not told.may_approve and told.why_not and "the group leads" in told.why_not
    with pytest.raises(RuleRefuses):
        await office.approve(case, "olga", groups=session)
    await store.database.write(partial(keeping.note_groups, name="olga", groups=["leads"]))
    assert (await office.approve(case, "olga")).status is Status.AUTHORIZED


async def test_an_escalation_lets_its_group_approve_too(store: CaseStore) -> None:
    """In its own round."""
    office = Office(store, reviewers=("anna",))
    case = await office.case()
    row = {"case_id": case.case_id, "step": 1, "to_whom": "group:desk", "escalated_at": now()}
    insert = escalations.insert()
    await store.database.write(lambda connection: connection.execute(insert, row | {"round_number": 2}))
    with pytest.raises(RuleRefuses):
        await office.approve(case, "ben")
    await store.database.write(lambda connection: connection.execute(insert, row | {"round_number": 1}))
    assert await office.read(partial(who_may, case=case)) == ("anna", "ben", "carla")
    assert (await office.approve(case, "ben")).status is Status.AUTHORIZED


async def test_a_delegate_decides_for_another_and_both_names_are_on_record(store: CaseStore) -> None:
    """Without saying so; one who may approve does it for themselves."""
    office = Office(store, reviewers=("group:seniors",))
    await delegated(store, "anna", "ben")
    await delegated(store, "anna", "carla")
    case = await office.case(n=1)
    told = await office.read(partial(standing_of, case=case, person=of("ben")))
    assert told.may_approve and told.on_behalf_of == "anna"
    decided = await office.approve(case, "ben")
    assert decided.decision and (decided.decision.reviewer, decided.decision.on_behalf_of) == ("ben", "anna")
    assert office.entries(Action.APPROVED)[0]["detail"]["on_behalf_of"] == "anna"
    own = await office.approve(await office.case(n=2), "carla")
    assert own.decision and own.decision.on_behalf_of is None
    said = await office.approve(await office.case(n=3), "carla", on_behalf_of="anna")
    assert said.decision and said.decision.on_behalf_of == "anna"


async def test_a_person_has_a_few_delegations_at_once(store: CaseStore) -> None:
    """A program at an open desk cannot fill the store with them; one that is over makes room."""
    for _ in range(MOST_AT_ONCE - 1):
        await delegated(store, "anna", "ben")
    last = await delegated(store, "anna", "ben")
    with pytest.raises(PersonRefused, match="End one"):
        await delegated(store, "anna", "ben")
    await delegated(store, "ben", "anna")
    await moved(store, last, -2 * DAY)
    await delegated(store, "anna", "ben")


async def test_a_delegation_is_not_passed_on(store: CaseStore) -> None:
    """Anna's delegate ben cannot let dora decide for anna."""
    office = Office(store, reviewers=("anna",))
    await delegated(store, "anna", "ben")
    await delegated(store, "ben", "dora")
    case = await office.case()
    for said in (None, "anna", "ben"):
        with pytest.raises(RuleRefuses):
            await office.approve(case, "dora", on_behalf_of=said)
    assert await office.read(partial(who_may, case=case)) == ("anna", "ben")


@pytest.mark.parametrize(
    ("by", "holds"),
    [(timedelta(0), True), (-DAY + HOUR, True), (-DAY, False), (-2 * DAY, False), (HOUR, False)],
)
async def test_a_delegation_holds_from_its_begin_to_its_end_alone(
    store: CaseStore, by: timedelta, holds: bool
) -> None:
    """Neither one of the past nor one of the future lets a person approve."""
    office = Office(store, reviewers=("anna",))
    await moved(store, await delegated(store, "anna", "ben"), by)
    case = await office.case()
    assert ("ben" in await office.read(partial(who_may, case=case))) is holds
    if holds:
        assert (await office.approve(case, "ben")).status is Status.AUTHORIZED
    else:
        with pytest.raises(RuleRefuses):
            await office.approve(case, "ben")


@pytest.mark.parametrize(
    ("reviewers", "may"),
    [
        (("group:desk",), True),
        (("group:seniors",), False),
        (("carla",), False),
        (("carla", "group:desk"), True),
    ],
)
async def test_a_delegation_for_a_group_is_for_what_that_group_may_decide(
    store: CaseStore, reviewers: tuple[str, ...], may: bool
) -> None:
    """Carla may do more than she has handed over."""
    office = Office(store, reviewers=reviewers)
    await delegated(store, "carla", "dora", group_name="desk")
    case = await office.case()
    assert ("dora" in await office.read(partial(who_may, case=case))) is may
    told = await office.read(partial(standing_of, case=case, person=of("dora")))
    assert told.may_approve is may and told.on_behalf_of == ("carla" if may else None)


async def test_a_delegation_for_a_group_ends_when_its_giver_leaves_that_group(store: CaseStore) -> None:
    """It gives what the giver has, and no more."""
    office = Office(store, reviewers=("group:desk",))
    await delegated(store, "carla", "dora", group_name="desk")
    await store.database.write(
        lambda connection: keeping.change(connection, "carla", {"groups": ["seniors"]}, actor="operator")
    )
    with pytest.raises(RuleRefuses):
        await office.approve(await office.case(), "dora")


def ended(name: str) -> Any:
    """End a person."""
    return partial(keeping.end, name=name, actor="operator")


async def test_what_an_ended_person_gave_or_was_given_counts_no_more(store: CaseStore) -> None:
    """Nor does their own group; and they may not come back by the delegation."""
    office = Office(store, reviewers=("group:seniors",))
    given = await delegated(store, "anna", "ben")
    await delegated(store, "carla", "dora")
    await store.database.write(ended("anna"))
    await store.database.write(ended("dora"))
    case = await office.case()
    for name in ("ben", "anna", "dora"):
        with pytest.raises(RuleRefuses):
            await office.approve(case, name)
    assert await office.read(partial(who_may, case=case)) == ("carla",)
    await store.database.write(lambda connection: accounts.add(connection, "anna", ["seniors"], keys=()))
    found = await office.read(partial(delegations.delegations_of, names=["anna"]))
    assert [one.delegation_id for one in found if not one.is_over] == []  # it stays ended when she is back
    assert found[0].delegation_id == given.delegation_id


async def test_a_giver_who_is_gone_without_an_end_lets_no_one_decide(store: CaseStore) -> None:
    """A key that was taken out of the settings: at the next start the store knows."""
    await store.database.write(partial(keeping.note_keys, names=["kim"]))
    await store.database.write(
        partial(keeping.change, name="kim", changes={"groups": ["seniors"]}, actor="o")
    )
    office = Office(store, reviewers=("kim",))
    await delegated(store, "kim", "ben")
    case = await office.case()
    assert await office.read(partial(who_may, case=case)) == ("ben", "kim")
    await store.database.write(partial(keeping.note_keys, names=[]))
    assert await office.read(partial(who_may, case=case)) == ()
    with pytest.raises(RuleRefuses):
        await office.approve(case, "ben")


@pytest.mark.parametrize(
    ("giver", "to", "more", "said"),
    [
        ("anna", "anna", {}, "as a delegate"),
        ("anna", "Anna", {}, "as a delegate"),  # which looks the same
        ("anna", "eve", {}, "eve is no person"),
        ("eve", "anna", {}, "eve is no person"),
        ("anna", "ben", {"ends_at": now() - HOUR}, "before it begins"),
        ("anna", "ben", {"begins_at": now() + 2 * DAY}, "before it begins"),
        ("anna", "ben", {"ends_at": now() + 500 * DAY}, "a year at most"),
        ("anna", "ben", {"group_name": "desk"}, "anna is not in the group desk"),
    ],
)
async def test_a_delegation_that_makes_no_sense_is_refused(
    store: CaseStore, giver: str, to: str, more: dict[str, Any], said: str
) -> None:
    """With a sentence, and nothing is written."""
    with pytest.raises(PersonRefused, match=said):
        await delegated(store, giver, to, **more)
    assert await store.database.read(delegations.going_on) == ()


async def test_a_delegation_never_begins_before_it_is_made(store: CaseStore) -> None:
    """What was decided before was not decided for another."""
    made = await delegated(store, "anna", "ben", begins_at=now() - DAY)
    assert made.begins_at == made.made_at


async def test_an_owner_of_the_agent_approves_neither_nor_through_a_delegate(store: CaseStore) -> None:
    """A rejection of theirs counts."""
    office = Office(store, owners=frozenset({"anna"}), reviewers=("anna", "carla"))
    await delegated(store, "anna", "ben")
    case = await office.case()
    for name in ("anna", "ben"):
        with pytest.raises(NotPermitted):
            await office.approve(case, name)
    assert await office.read(partial(who_may, case=case, owners=office.owners)) == ("carla",)


async def test_a_name_that_no_one_checked_approves_nothing_that_rules_on_people(store: CaseStore) -> None:
    """Also where the rule names no reviewer, and for another."""
    await delegated(store, "anna", "ben")
    for ruling in ({"reviewers": ("anna",)}, {"is_separate": True}, {"trainings": ("x",)}, {"approvals": 2}):
        office = Office(store, **ruling)
        case = await office.case(**{next(iter(ruling)): True})
        with pytest.raises(NotPermitted, match="a name that is checked"):
            await office.approve(case, "anna", is_signed=False)
    free = Office(store)
    with pytest.raises(NotPermitted, match="a name that is checked"):
        await free.approve(await free.case(free=True), "ben", is_signed=False, on_behalf_of="anna")


async def test_with_a_rule_that_failed_each_list_with_a_group_approves_for_itself(store: CaseStore) -> None:
    """An agent cannot choose its reviewers by breaking a condition; one of both lists is enough."""
    lists = (("group:seniors",), ("group:desk",))
    office = Office(store, reviewers=("group:seniors", "group:desk"), each_of=lists, approvals=2)
    await add(store, emil="desk", fritz="seniors")
    case = await office.case(n=1)
    assert (await office.approve(case, "anna")).status is Status.PENDING_REVIEW
    with pytest.raises(RuleRefuses, match="lets the group desk approve"):
        await office.approve(case, "fritz")
    assert (await office.approve(case, "emil")).status is Status.AUTHORIZED
    assert (await office.approve(await office.case(n=2), "carla")).status is Status.AUTHORIZED


async def test_a_delegate_for_a_group_approves_for_the_list_of_that_group_alone(store: CaseStore) -> None:
    """Also where the one who delegated is in both; what was approved so counts after the delegation ended."""
    lists = (("group:seniors",), ("group:desk",))
    office = Office(store, reviewers=("group:seniors", "group:desk"), each_of=lists, approvals=2)
    made = await delegated(store, "carla", "dora", group_name="desk")
    case = await office.case()
    assert (await office.approve(case, "dora")).status is Status.PENDING_REVIEW
    end = partial(delegations.end, delegation_id=made.delegation_id, actor="operator")
    await store.database.write(end)
    with pytest.raises(RuleRefuses, match="lets the group seniors approve"):
        await office.approve(case, "ben")
    assert (await office.approve(case, "anna")).status is Status.AUTHORIZED


async def test_an_escalation_speaks_for_none_of_several_lists(store: CaseStore) -> None:
    """The step is of one rule, and an agent brought the lists about with a condition that failed."""
    lists = (("group:seniors",), ("group:desk",))
    office = Office(store, reviewers=("group:seniors", "group:desk"), each_of=lists, approvals=2)
    case = await office.case()
    row = {"case_id": case.case_id, "step": 1, "to_whom": "dora", "escalated_at": now(), "round_number": 1}
    await store.database.write(lambda connection: connection.execute(escalations.insert(), row))
    assert "dora" not in await office.read(partial(who_may, case=case))
    with pytest.raises(RuleRefuses):
        await office.approve(case, "dora")


async def test_who_lost_a_key_can_be_ended(store: CaseStore) -> None:
    """Else what the person made before could not be taken away."""
    await store.database.write(partial(keeping.note_keys, names=["emil"]))
    await store.database.write(partial(keeping.note_keys, names=[]))
    await store.database.write(ended("emil"))
    with pytest.raises(PersonRefused, match="has ended"):
        await store.database.write(ended("emil"))


async def test_the_entries_for_a_list_are_those_by_which_a_person_may_approve(store: CaseStore) -> None:
    """Their own, and those of people for whom they decide, within the scope."""

    def entries(name: str, connection: Connection) -> tuple[str, ...]:
        return entries_for(Directory(connection), name)

    assert await store.database.read(partial(entries, "dora")) == ("dora",)
    await delegated(store, "carla", "dora", group_name="desk")
    assert await store.database.read(partial(entries, "dora")) == ("dora", "group:desk")
    await delegated(store, "anna", "dora")
    found = await store.database.read(partial(entries, "dora"))
    assert set(found) == {"dora", "group:desk", "anna", "group:seniors"}
