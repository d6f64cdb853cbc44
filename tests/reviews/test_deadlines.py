"""What is due of a case that waits: reminders, escalations; each once, none for a case that is over."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from due import do_due, entries_of, let_pass, notices_of
from kept import location_in
from sqlalchemy.engine import Connection
from store import approval, assessment_of, decisions, open_case, open_store, rejection, tool_call

from atlas.background import in_background
from atlas.cases.judgements import record_assessment
from atlas.cases.store import CaseStore, read_case
from atlas.database.choose import beside
from atlas.decide import decide_by_score
from atlas.grounds.reopening import send_back
from atlas.instants import now
from atlas.ledger import Action
from atlas.models import Case, Scope, Status
from atlas.people.tables import profiles
from atlas.review_rules import Escalation, ReviewRules
from atlas.reviews.clock import BATCH, Clock, do_or_delay, due_rows, take_due
from atlas.reviews.deadlines import coming, extend, plan
from atlas.reviews.tables import due_times, escalations
from atlas.stop.stops import Stops

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REMINDED, ESCALATED = Action.REMINDED, Action.ESCALATED


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CaseStore]:
    """A store of one test."""
    async with open_store(tmp_path) as opened:
        yield opened


async def waiting(store: CaseStore, number: int = 0, *, timeout: timedelta = DAY, **fields: Any) -> Case:
    """A case that waits for a person, under a ruling with such fields."""
    case = await open_case(store, tool_call(number=number))

    def judge(connection: Connection) -> Case:
        judged = record_assessment(connection, case, assessment_of(case.call, **fields))
        return decide_by_score(connection, judged, timeout=timeout)

    return await store.change(case.case_id, judge)


def steps(*given: tuple[timedelta, str]) -> ReviewRules:
    """Rules that escalate so."""
    return ReviewRules(
        escalations=tuple(Escalation(after_seconds=int(after.total_seconds()), to=to) for after, to in given)
    )


async def due_of(store: CaseStore, case: Case) -> list[tuple[str, int, datetime]]:
    query = sa.select(due_times.c.kind, due_times.c.step, due_times.c.due_at)
    query = query.where(due_times.c.case_id == case.case_id, due_times.c.done_at.is_(None))
    rows = await store.database.read(
        lambda connection: connection.execute(query.order_by(due_times.c.due_at)).all()
    )
    return [(row.kind, row.step, row.due_at) for row in rows]


async def works(store: CaseStore, person: str, hours: str | None, *, zone: str = "UTC", **more: Any) -> None:
    """Keep the working hours of a person."""
    known = {"person": person, "groups": json.dumps(more.get("groups", [])), "languages": "[]"}
    row = known | {"zone": zone, "working_hours": hours, "changed_at": now()}
    await store.database.write(lambda connection: connection.execute(profiles.insert().values(row)))


async def test_people_are_reminded_at_half_and_at_nine_tenths_of_the_time(store: CaseStore) -> None:
    """Each time once, with the end of the time in ledger and notice, and no argument in either."""
    case = await waiting(store)
    assert case.expires_at is not None
    await let_pass(store, 11 * HOUR)
    assert await do_due(store) == 0
    await let_pass(store, 2 * HOUR)
    assert await do_due(store) == 1
    assert await do_due(store) == 0
    await let_pass(store, 9 * HOUR)
    assert await do_due(store) == 1
    shares = [entry["detail"]["share"] for entry in await entries_of(store, case.case_id, REMINDED)]
    assert shares == ["half", "nine tenths"]
    told = await notices_of(store, case.case_id, "reminded")
    assert [said["share"] for _, said in told] == shares
    assert all(said["to"] is None for _, said in told)
    assert "number" not in json.dumps(told)


async def test_each_step_of_an_escalation_is_taken_once(store: CaseStore) -> None:
    """Those to whom it goes are kept, are told, and stand in the ledger."""
    case = await waiting(store, review=steps((2 * HOUR, "group:seniors"), (4 * HOUR, "otto")))
    await let_pass(store, 3 * HOUR)
    assert await do_due(store) == 1
    await let_pass(store, 2 * HOUR)
    assert await do_due(store) == 1
    rows = await store.database.read(lambda connection: connection.execute(escalations.select()).all())
    assert [(row.case_id, row.round_number, row.step, row.to_whom) for row in rows] == [
        (case.case_id, 1, 1, "group:seniors"),
        (case.case_id, 1, 2, "otto"),
    ]
    told = [said["to"] for _, said in await notices_of(store, case.case_id, "escalated")]
    assert told == [["group:seniors"], ["otto"]]
    assert [e["detail"]["to"] for e in await entries_of(store, case.case_id, ESCALATED)] == [
        "group:seniors",
        "otto",
    ]


async def test_what_comes_next_is_known_until_the_case_is_over(store: CaseStore) -> None:
    """The next reminder and the next escalation, of which each is over once it was done."""

    async def next_of(case_id: str) -> list[tuple[str, str | None]]:
        found = await store.database.read(lambda one: coming(one, read_case(one, case_id)))
        return [(one.kind.value, one.to) for one in found]

    case = await waiting(store, review=steps((2 * HOUR, "group:seniors"), (20 * HOUR, "otto")))
    assert await next_of(case.case_id) == [("escalation", "group:seniors"), ("reminder", None)]
    await let_pass(store, 3 * HOUR)
    await do_due(store)
    assert await next_of(case.case_id) == [("reminder", None), ("escalation", "otto")]
    await decisions(store).record(case.case_id, rejection())
    assert await next_of(case.case_id) == []


async def test_what_would_be_due_after_the_end_is_not_kept(store: CaseStore) -> None:
    """An escalation after three days does not outlive a time of one day."""
    case = await waiting(store, review=steps((3 * DAY, "otto")))
    assert [kind for kind, _, _ in await due_of(store, case)] == ["reminder", "reminder"]


@pytest.mark.parametrize("how", ["approved", "rejected", "over"])
async def test_no_reminder_comes_for_a_case_that_is_over(store: CaseStore, how: str) -> None:
    """Whether a person decided, or the time is over and the workflow has not seen it yet."""
    case = await waiting(store, review=steps((2 * HOUR, "otto")))
    if how == "approved":
        await decisions(store).record(case.case_id, approval())
    elif how == "rejected":
        await decisions(store).record(case.case_id, rejection())
    await let_pass(store, 25 * HOUR)
    await do_due(store)
    assert await entries_of(store, case.case_id, REMINDED, ESCALATED) == []
    assert await notices_of(store, case.case_id, "reminded", "escalated") == []
    assert await due_of(store, case) == []


async def test_no_reminder_comes_of_an_older_round(store: CaseStore) -> None:
    """A case that is judged again has times of its own; those of the round before do nothing."""
    case = await waiting(store)

    def again(connection: Connection) -> Case:
        now_there = assessment_of(case.call)
        return send_back(connection, read_case(connection, case.case_id), now_there, 2 * DAY, reason="a test")

    await store.change(case.case_id, again)
    await let_pass(store, 23 * HOUR)
    await do_due(store)
    assert await entries_of(store, case.case_id, REMINDED) == []
    await let_pass(store, 2 * HOUR)
    await do_due(store)
    (entry,) = await entries_of(store, case.case_id, REMINDED)
    assert (entry["detail"]["round"], entry["detail"]["share"]) == (2, "half")


async def test_a_frozen_case_is_not_reminded_and_its_times_move_with_the_thaw(store: CaseStore) -> None:
    """What was due before the stop is due when it is lifted; the rest gets the frozen time back."""
    stops = Stops(store.database)
    case = await waiting(store, review=steps((20 * HOUR, "otto")))
    before = await due_of(store, case)
    await let_pass(store, 11 * HOUR)
    stop = await stops.stop(Scope.EVERYTHING, reason="fire", person_name="anna")
    await let_pass(store, 100 * HOUR)
    assert await do_due(store) == 0
    await stops.lift(stop.stop_id, reason="out", person_name="anna")
    assert await do_due(store) == 0
    after = await due_of(store, case)
    assert [(kind, step) for kind, step, _ in after] == [(kind, step) for kind, step, _ in before]
    for (_, _, was), (_, _, is_now) in zip(before, after, strict=True):
        assert abs(is_now - (was - 11 * HOUR)) < timedelta(minutes=5)
    await let_pass(store, HOUR)
    assert await do_due(store) == 1


async def test_extended_time_moves_what_is_still_due(store: CaseStore) -> None:
    """What was done stays done, and is not done again."""
    case = await waiting(store)
    await let_pass(store, 13 * HOUR)
    assert await do_due(store) == 1
    (_, _, was), *_ = await due_of(store, case)

    def more(connection: Connection) -> Case:
        return extend(connection, read_case(connection, case.case_id), 7200)

    before = await store.read(case.case_id)
    extended = await store.change(case.case_id, more)
    assert before.expires_at is not None
    assert extended.expires_at == before.expires_at + 2 * HOUR == (await store.read(case.case_id)).expires_at
    assert [at for _, _, at in await due_of(store, case)] == [was + 2 * HOUR]


async def test_a_case_that_is_over_is_not_extended(store: CaseStore) -> None:
    """It comes back as it stands."""
    case = await waiting(store)
    await decisions(store).record(case.case_id, rejection())
    over = await store.change(
        case.case_id, lambda connection: extend(connection, read_case(connection, case.case_id), 60)
    )
    assert (over.status, over.expires_at) == (Status.REJECTED, case.expires_at)


async def test_a_restart_loses_no_reminder_and_repeats_none(tmp_path: Path) -> None:
    """What was due while the gateway was down comes at its next start, once."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)
        await let_pass(store, 13 * HOUR)
    for _ in range(2):
        async with open_store(tmp_path) as store:
            await do_due(store)
    async with open_store(tmp_path) as store:
        assert len(await entries_of(store, case.case_id, REMINDED)) == 1


async def test_two_processes_do_each_thing_once(tmp_path: Path) -> None:
    """A row counts for the one that marks it done, and both look at the same time."""
    async with open_store(tmp_path) as store:
        found = [await waiting(store, number) for number in range(2 * BATCH)]
        await let_pass(store, 13 * HOUR)

        store_beside = beside(location_in(tmp_path))

        def in_another() -> int:
            return sum(store_beside.change(take_due) for _ in range(3))

        done = await asyncio.gather(
            asyncio.to_thread(in_another), asyncio.to_thread(in_another), do_due(store)
        )
        assert sum(done) == len(found)
        for case in found:
            assert len(await entries_of(store, case.case_id, REMINDED)) == 1
            assert len(await notices_of(store, case.case_id, "reminded")) == 1


async def test_what_was_read_by_two_is_done_by_one(store: CaseStore) -> None:
    """Also where both had read it before either wrote it."""
    case = await waiting(store)
    await let_pass(store, 13 * HOUR)

    def twice(connection: Connection) -> None:
        (row,) = due_rows(connection, at=now())
        for _ in range(2):
            do_or_delay(connection, row, at=now())

    await store.database.write(twice)
    assert len(await entries_of(store, case.case_id, REMINDED)) == 1


async def test_what_cannot_be_done_holds_up_nothing_else(
    store: CaseStore, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again a minute later, and leaves nothing half done."""
    broken, whole = await waiting(store, 1, review=steps((HOUR, "otto"))), await waiting(store, 2)

    def spoil(connection: Connection) -> None:
        of_it = due_times.c.case_id == broken.case_id, due_times.c.kind == "escalation"
        connection.execute(due_times.update().where(*of_it).values(detail="{"))

    await store.database.write(spoil)
    await let_pass(store, 13 * HOUR)
    assert await do_due(store) == 3
    assert len(await entries_of(store, whole.case_id, REMINDED)) == 1
    assert await entries_of(store, broken.case_id, ESCALATED) == []
    assert ("escalation", 1) in [(kind, step) for kind, step, _ in await due_of(store, broken)]
    assert "could not be done" in caplog.text


async def test_a_clock_that_runs_does_what_falls_due_without_being_told(store: CaseStore) -> None:
    """It wakes when the next thing is due, and for a case whose first thing is due sooner."""
    clock = Clock(store.database)
    store.listeners.append(clock.note)
    far = await waiting(store, 1)
    async with in_background(clock.run):
        near = await waiting(store, 2)

        def remind_soon(connection: Connection) -> Case:
            soon = due_times.update().where(due_times.c.case_id == near.case_id)
            for step in (1, 2):
                at = {"due_at": now() + timedelta(seconds=step)}
                connection.execute(soon.where(due_times.c.step == step).values(at))
            return near

        await store.change(near.case_id, remind_soon)

        async def reminded() -> bool:
            return len(await entries_of(store, near.case_id, REMINDED)) == 2

        await until(reminded)
    assert await entries_of(store, far.case_id, REMINDED) == []


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds, a minute at most."""
    for _ in range(600):
        if await condition():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come to hold")


async def planned(store: CaseStore, since: str, timeout: timedelta, **fields: Any) -> list[str]:
    """When things of a case would be due, the end last, for a rule that counts working hours."""
    review = ReviewRules(in_working_hours=True, escalations=fields.pop("escalations", ()))
    case = await open_case(store)
    case = case.model_copy(update={"assessment": assessment_of(case.call, review=review, **fields)})
    begin = datetime.fromisoformat(since)
    made = await store.database.read(lambda connection: plan(connection, case, since=begin, timeout=timeout))
    times = [*sorted(step[0] for step in made.steps), made.expires_at]
    return [at.astimezone(timezone.utc).strftime("%a %H:%M") for at in times]


async def test_times_count_the_working_hours_of_those_who_may_decide(store: CaseStore) -> None:
    """Reminders, escalation and end: of four hours from Friday at four, three are on Monday."""
    await works(store, "anna", "mon-fri 09:00-17:00", groups=["seniors"])
    await works(store, "ben", "sat-sun 00:00-24:00", groups=["others"])
    await works(store, "cleo", None, groups=["seniors"])
    escalations = (Escalation(after_seconds=5400, to="otto"),)
    of_group = {"reviewers": ("group:seniors",), "escalations": escalations}
    friday = "2026-11-27T16:00+00:00"
    assert await planned(store, friday, 4 * HOUR, **of_group) == [
        "Mon 09:30",  # the escalation, after an hour and a half
        "Mon 10:00",  # half
        "Mon 11:36",  # nine tenths
        "Mon 12:00",  # the end
    ]
    assert (await planned(store, friday, 4 * HOUR, reviewers=("ben",)))[-1] == "Sat 04:00"
    assert (await planned(store, friday, 4 * HOUR, reviewers=("Anna", "ben")))[-1] == "Sat 03:00"
    assert (await planned(store, friday, 4 * HOUR))[-1] == "Sat 03:00"  # every reviewer may decide


async def test_where_none_of_them_has_hours_all_time_counts(store: CaseStore) -> None:
    """A group without hours on record is taken to work always."""
    await works(store, "anna", "mon-fri 09:00-17:00")
    friday = "2026-11-27T16:00+00:00"
    assert (await planned(store, friday, 4 * HOUR, reviewers=("otto",)))[-1] == "Fri 20:00"


async def test_working_hours_stand_still_under_a_stop_and_are_extended_as_such(store: CaseStore) -> None:
    """A stop gives back the working time that it took; an hour more is an hour of working time."""
    await works(store, "anna", "mon-sun 00:00-24:00")  # so that the test holds at any time of the day
    stops = Stops(store.database)
    case = await waiting(store, review=ReviewRules(in_working_hours=True))
    stop = await stops.stop(Scope.EVERYTHING, reason="fire", person_name="anna")
    await let_pass(store, 10 * HOUR)
    await stops.lift(stop.stop_id, reason="out", person_name="anna")
    lifted = await store.change(
        case.case_id, lambda connection: extend(connection, read_case(connection, case.case_id), 3600)
    )
    assert lifted.expires_at is not None
    assert case.expires_at is not None
    assert abs(lifted.expires_at - (case.expires_at + HOUR)) < timedelta(minutes=5)
