"""A seeded case that waits is like any other: under a stop, in time, in notices, for limits and agents."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from judged_calls import DAY, judged
from outbox_of_test import outbox
from receivers import receiver
from rules_for_people import Office
from store import open_store, tool_call

from atlas.agents.answers import pending_text
from atlas.attention.seeded import seed
from atlas.attention.seeding import Seeding
from atlas.attention.statistics import statistics_of
from atlas.cases.opening import open_case
from atlas.cases.store import CaseStore
from atlas.cases.waiting import Waiting, WaitingCalls
from atlas.instants import now
from atlas.models import Case, Scope, Status
from atlas.stop.stops import Stops

NOTHING_SEEDED = SimpleNamespace(seeded_share=0, seeded=())


async def seeded_in(store: CaseStore, *, timeout: timedelta = DAY, **fields: Any) -> Case:
    """A seeded case under the name of billing-bot."""
    made = tool_call("pay", principal="billing-bot", amount=7)
    ruled = judged(made, definition="a" * 64, **fields)
    case = await store.database.write(partial(seed, call=made, ruled=ruled, why="bad", timeout=timeout))
    assert case is not None
    return case


async def own_call(store: CaseStore) -> Case:
    """A call that the agent itself makes to the same tool."""
    made = tool_call("pay", principal="billing-bot", amount=8)
    return await store.database.write(lambda connection: open_case(connection, made))


async def test_time_stands_still_for_it_too_while_everything_is_stopped(tmp_path: Path) -> None:
    """One that came before the stop, and one that comes during it; both get their time back with the lift."""
    async with open_store(tmp_path) as store:
        stops = Stops(store.database)
        case = await seeded_in(store)
        stop = await stops.stop(Scope.EVERYTHING, reason="fire", person_name="anna")
        frozen = await store.read(case.case_id)
        assert frozen.frozen_at is not None and frozen.stop is not None
        await stops.lift(stop.stop_id, reason="over", person_name="anna")
        thawed = await store.read(case.case_id)
        assert thawed.frozen_at is None and thawed.stop is None
        assert thawed.expires_at is not None and case.expires_at is not None
        assert thawed.expires_at >= case.expires_at


async def test_its_time_ends_as_that_of_others(tmp_path: Path) -> None:
    """The look that makes seeded cases ends those that are overdue; under a stop none is."""
    async with open_store(tmp_path) as store:
        case = await seeded_in(store, timeout=timedelta(seconds=-1))
        seeding = Seeding(
            store,
            rule=None,  # type: ignore[arg-type]
            seeds=lambda: NOTHING_SEEDED,
            tell=lambda case: None,
            timeout=DAY,
        )
        await seeding.look(0)
        assert (await store.read(case.case_id)).status is Status.EXPIRED


async def test_its_agent_is_not_told_of_it(tmp_path: Path) -> None:
    """People read of it as of other calls that waited; the agent is told of its own calls alone."""
    async with open_store(tmp_path) as store:
        seeded = await seeded_in(store)
        case = await own_call(store)
        for seen in (case, await store.read(case.case_id)):
            assert seen.waiting_before == (seeded.case_id,)
            assert seeded.case_id not in pending_text(seen) and "still waited" not in pending_text(seen)


async def test_it_takes_no_place_of_its_agent(tmp_path: Path) -> None:
    """An agent has as many calls that wait as it has made."""
    async with open_store(tmp_path) as store:
        await seeded_in(store)
        most = Waiting(of_agent=1, of_all=1)
        count = partial(WaitingCalls().of, agent="billing-bot", limits=most)
        assert await store.database.read(lambda connection: count(connection)) == Waiting(0, 0)
        await own_call(store)
        count = partial(WaitingCalls().of, agent="billing-bot", limits=most)
        assert await store.database.read(lambda connection: count(connection)) == Waiting(1, 1)


async def test_its_notice_has_the_same_form(tmp_path: Path) -> None:
    """What a program gets of it has the same fields, with values of the same kinds."""
    async with receiver() as taken, outbox(tmp_path, atlas_notify_url=taken.url) as box:
        case = await seeded_in(box.store)
        [body] = await taken.accepted(1)
    assert body["event_id"] == case.case_id and body["not_checked"] == []


async def test_the_figures_of_a_person_do_not_count_it_while_it_waits(tmp_path: Path) -> None:
    """Else the first of two who approve would know it, and could warn the second."""
    async with open_store(tmp_path) as store:
        case = await seeded_in(store, approvals=2)
        office = Office(store, approvals=2)
        await office.approve(case, "anna")
        figures = await store.database.look(
            lambda connection: statistics_of(
                connection, since=now() - DAY, until=now(), person="anna", sees_others=True
            )
        )
        assert [(row.decided, row.seeded) for row in figures.people] == [(1, 0)]
