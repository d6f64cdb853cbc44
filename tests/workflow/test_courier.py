"""The courier: when the run of a case is reminded."""

import time
from datetime import timedelta
from pathlib import Path

import inngest
import pytest
from judged_calls import REDEFINED, decisions_under, waiting
from sqlalchemy.engine import Connection
from store import approval, assessment_of, open_case, open_store, tool_call

import atlas.workflow.courier
from atlas.cases.endings import end_case
from atlas.cases.judgements import record_assessment
from atlas.cases.store import CaseStore, read_case, transition
from atlas.decide import decide_by_score
from atlas.errors import CallChanged
from atlas.instants import now
from atlas.ledger import Action
from atlas.models import Case, Scope, Status
from atlas.stop.stops import Stops
from atlas.workflow.courier import OVERDUE_SECONDS, SARAH_DECISION, SILENCE_SECONDS, Courier

DAY = timedelta(days=1)


async def test_a_call_that_was_judged_again_and_is_overdue_does_not_wait_long_for_its_run(
    tmp_path: Path,
) -> None:
    """Its run may have been lost, or wait for another end; that of a first round knows its time."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)
        with pytest.raises(CallChanged):
            await decisions_under(store, definition=REDEFINED).record(case.case_id, approval())
        again = await store.read(case.case_id)
        courier, moment = Courier(inngest.Inngest(app_id="test"), store), time.monotonic()
        pauses = [courier._delivery(each, moment=moment).due_at - moment for each in (case, again)]
        assert pauses == pytest.approx([SILENCE_SECONDS, OVERDUE_SECONDS])
        assert OVERDUE_SECONDS <= 5


async def test_a_new_call_whose_run_was_lost_is_taken_up_by_another_run_also_after_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server drops a second request of that name; gateways that start again would send no other one."""
    async with open_store(tmp_path) as store:
        case = await open_case(store, tool_call("note"))
        courier, moment = Courier(inngest.Inngest(app_id="test"), store), time.monotonic()
        courier._delivery(case, moment=moment)
        assert [event.id for event in courier._events(case)] == [case.case_id]
        later = timedelta(seconds=SILENCE_SECONDS + 1)
        monkeypatch.setattr(atlas.workflow.courier, "now", lambda: now() + later)
        another = Courier(inngest.Inngest(app_id="test"), store)
        assert another._delivery(case, moment=moment).due_at == moment
        [event] = another._events(case)
        assert event.id is not None and event.id.startswith(f"{case.case_id}.")


async def test_every_unheard_call_is_seen_where_they_are_more_than_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right: as many rounds as pages see to all. Wrong: what is stuck in the first page hides the others.

    What is known of a call stays known until it has been heard: else its reminders would begin again.
    """
    monkeypatch.setattr(atlas.workflow.courier, "PAGE", 2)
    async with open_store(tmp_path) as store:
        opened = {(await open_case(store, tool_call(f"note_{number}"))).case_id for number in range(5)}
        courier = Courier(inngest.Inngest(app_id="test"), store)
        for _ in range(2):
            assert await seen_in_rounds(courier, 3) == opened
            assert {case_id for case_id, _, _ in courier._deliveries} == opened
        heard = min(opened)
        await withdraw(store, heard)
        assert await seen_in_rounds(courier, 3) == opened - {heard}
        assert {case_id for case_id, _, _ in courier._deliveries} == opened - {heard}


async def test_the_calls_of_another_gateway_hide_none_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right: the own ones behind a page of others are seen. Wrong: they wait until the others are heard."""
    monkeypatch.setattr(atlas.workflow.courier, "PAGE", 2)
    async with open_store(tmp_path) as store:
        opened = sorted(
            [(await open_case(store, tool_call(f"note_{number}"))).case_id for number in range(4)]
        )
        own = opened[-1]
        monkeypatch.setattr(Courier, "_sees_to", lambda self, case: case.case_id == own)
        assert await seen_in_rounds(Courier(inngest.Inngest(app_id="test"), store), 2) == {own}


async def seen_in_rounds(courier: Courier, count: int) -> set[str]:
    """The calls that a courier sees to in so many rounds."""
    seen: set[str] = set()
    for _ in range(count):
        unheard = await courier._unheard_cases()
        seen |= {case.case_id for case in unheard}
        for case in unheard:
            courier._delivery(case, moment=time.monotonic())
    return seen


async def withdraw(store: CaseStore, case_id: str) -> None:
    """End a call that has not begun."""

    def work(connection: Connection) -> Case:
        case = read_case(connection, case_id=case_id)
        return end_case(connection, case, Status.WITHDRAWN, Action.WITHDRAWN, detail={})

    await store.change(case_id, work)


async def test_what_a_stop_holds_is_told_to_no_run_and_is_woken_at_once_after_the_lift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a courier that saw nothing of the stop; a frozen case is not overdue."""
    async with open_store(tmp_path) as store:
        stops, first = Stops(store.database), await waiting(store)
        approved = await approve_by_score(store)
        overdue = await open_case(store, tool_call("late"))

        def review(connection: Connection) -> Case:
            return transition(connection, overdue, Status.PENDING_REVIEW, expires_at=now() + DAY)

        await store.change(overdue.case_id, review)
        stop = await stops.stop(Scope.EVERYTHING, reason="fire", person_name="anna")
        client = inngest.Inngest(app_id="test")
        courier = Courier(client, store)
        monkeypatch.setattr(atlas.workflow.courier, "now", lambda: now() + timedelta(days=2))
        assert await courier._unheard_cases() == []
        monkeypatch.undo()
        await stops.lift(stop.stop_id, reason="it is out", person_name="bob")
        for each in (courier, Courier(client, store)):
            [found], moment = await each._unheard_cases(), time.monotonic()
            assert found.case_id == approved.case_id
            assert each._delivery(found, moment=moment).due_at == moment
            assert [event.name for event in each._events(found)] == [SARAH_DECISION]
        thawed = await store.read(overdue.case_id)
        assert thawed.expires_at is not None and thawed.expires_at > now() and first.frozen_at is None


async def approve_by_score(store: CaseStore) -> Case:
    """A case that its score approved, and that has not begun."""
    case = await open_case(store, tool_call("note"))

    def judge(connection: Connection) -> Case:
        judged = record_assessment(connection, case, assessment_of(case.call, 5))
        return decide_by_score(connection, judged, timeout=DAY)

    return await store.change(case.case_id, judge)
