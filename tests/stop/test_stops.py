"""Stops and lifts in the case store: what each scope covers, what freezes, and what goes on when."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kept import entries_in
from sqlalchemy.engine import Connection
from store import (
    approval,
    assessment_of,
    decisions,
    insert_case,
    open_case,
    open_store,
    recorded_approval,
    rejection,
    settings_of_test,
    tool_call,
)

import atlas.stop.stops
import atlas.stop.tables
from atlas import ledger
from atlas.agents.answers import facts_of, pending_text, progress_text
from atlas.canonical import digest
from atlas.cases.definitions import Definition
from atlas.cases.judgements import record_assessment
from atlas.cases.store import CaseStore, add_decision, read_case, transition
from atlas.cases.tables import cases
from atlas.decide import decide_after_wait, decide_by_score
from atlas.errors import ReasonUnfit, StopNotFound, Stopped, TargetUnknown
from atlas.instants import now
from atlas.models import Case, Scope, Status, Stop, ToolCall
from atlas.stop.covering import covered_by, stop_of, stop_of_call
from atlas.stop.known import Known
from atlas.stop.stops import Stops
from atlas.workflow.patience import seconds_to_wait

DAY = timedelta(days=1)


@asynccontextmanager
async def stoppable(directory: Path) -> AsyncIterator[tuple[CaseStore, Stops]]:
    """A store, and what stops it."""
    async with open_store(directory) as store:
        yield store, Stops(store.database)


async def waiting(
    store: CaseStore, call: ToolCall | None = None, *, timeout: timedelta = DAY, **fields: Any
) -> Case:
    """A case that waits for a person, under a ruling with such fields."""
    case = await open_case(store, call)

    def judge(connection: Connection) -> Case:
        judged = record_assessment(connection, case, assessment_of(case.call, **fields))
        return decide_by_score(connection, judged, timeout=timeout)

    return await store.change(case.case_id, judge)


async def approved(store: CaseStore, call: ToolCall | None = None) -> Case:
    """A case that a person has approved."""
    case = await waiting(store, call)

    def approve(connection: Connection) -> Case:
        return transition(
            connection, add_decision(connection, case, recorded_approval(case)), Status.AUTHORIZED
        )

    return await store.change(case.case_id, approve)


async def stop_all(stops: Stops) -> Stop:
    return await stops.stop(Scope.EVERYTHING, reason="fire", person_name="anna")


async def lift(stops: Stops, stop: Stop) -> Stop:
    return await stops.lift(stop.stop_id, reason="it is out", person_name="bob")


def entries(store: CaseStore, *actions: str) -> list[dict[str, Any]]:
    """The entries of a kind; the whole ledger verifies."""
    found = list(entries_in(store.database.directory))
    assert ledger.verify(found) == len(found)
    return [entry for entry in found if entry["action"] in actions]


# What is kept


async def test_a_stop_and_its_lift_are_entries_of_the_ledger_with_their_reasons(tmp_path: Path) -> None:
    """Of no case, with who, what and how much froze."""
    async with stoppable(tmp_path) as (store, stops):
        await waiting(store)
        stop = await stop_all(stops)
        lifted = await lift(stops, stop)
        assert (lifted.lifted_by, lifted.lift_reason) == ("bob", "it is out") and not lifted.is_in_force
        begun, ended = entries(store, "stop.begun", "stop.lifted")
        assert (begun["case_id"], begun["actor"]) == ("", "anna")
        about = {"stop_id": stop.stop_id, "scope": "everything", "target": ""}
        assert begun["detail"] == about | {"reason": "fire", "waiting_frozen": 1, "approved_held": 0}
        assert ended["detail"] == about | {"reason": "it is out", "waiting_thawed": 1}
        assert await stops.in_force() == () and await stops.newest() == (lifted,)


async def test_the_same_thing_stopped_twice_is_one_stop(tmp_path: Path) -> None:
    """The first one stays: since when, by whom and why; after its lift it can be stopped again."""
    async with stoppable(tmp_path) as (store, stops):
        first = await stops.stop(Scope.TOOL, "note", reason="odd", person_name="anna")
        again = await stops.stop(Scope.TOOL, "note", reason="very odd", person_name="bob")
        assert again == first and len(entries(store, "stop.begun")) == 1
        lifted = await lift(stops, first)
        assert await lift(stops, first) == lifted and len(entries(store, "stop.lifted")) == 1
        assert (
            await stops.stop(Scope.TOOL, "note", reason="odd", person_name="anna")
        ).stop_id != first.stop_id


@pytest.mark.parametrize("reason", ["", "  ", "\u200b", "x" * 1001])
async def test_a_reason_is_needed_that_a_person_can_read(tmp_path: Path, reason: str) -> None:
    """For the stop and for the lift."""
    async with stoppable(tmp_path) as (_, stops):
        with pytest.raises(ReasonUnfit):
            await stops.stop(Scope.EVERYTHING, reason=reason, person_name="anna")
        stop = await stop_all(stops)
        with pytest.raises(ReasonUnfit):
            await stops.lift(stop.stop_id, reason=reason, person_name="anna")
        assert await stops.in_force() == (stop,)


async def test_a_stop_that_is_not_there_cannot_be_lifted(tmp_path: Path) -> None:
    """The error names it."""
    async with stoppable(tmp_path) as (_, stops):
        with pytest.raises(StopNotFound, match="stop_0"):
            await stops.lift("stop_0", reason="why not", person_name="anna")


async def test_a_name_that_was_never_seen_is_refused_with_those_that_are_like_it(tmp_path: Path) -> None:
    """A tool that was called once is known, also if it is missing at the moment."""
    async with open_store(tmp_path) as store:

        async def offered() -> set[str]:
            return {"delete_file"}

        settings = settings_of_test(
            tmp_path, atlas_agent_key="bot:0123456789abcdef", atlas_reviewer_key="f" * 16
        )
        known = Known(settings, store.database, servers=("files",), offered=offered)
        told: list[Stop] = []
        stops = Stops(store.database, known=known, tell=told.append)
        await open_case(store, tool_call("gone_by_now", principal="former"))
        for scope, name, like in (
            (Scope.TOOL, "delete_flie", "delete_file"),
            (Scope.AGENT, "bott", "bot"),
            (Scope.SERVER, "file", "files"),
            (Scope.TOOL, "", "Name one"),
        ):
            with pytest.raises(TargetUnknown, match=like):
                await stops.stop(scope, name, reason="odd", person_name="anna")
        assert await stops.in_force() == () and told == []
        for scope, name in (
            (Scope.TOOL, "delete_file"),
            (Scope.TOOL, "gone_by_now"),
            (Scope.AGENT, "bot"),
            (Scope.AGENT, "former"),
            (Scope.SERVER, "files"),
        ):
            await stops.stop(scope, name, reason="odd", person_name="anna")
        await stops.stop(Scope.TOOL, "to come", reason="odd", person_name="anna", even_if_unknown=True)
        assert len(await stops.in_force()) == len(told) == 6
        assert await stops.names(Scope.TOOL) == ["delete_file", "gone_by_now"]


# What is covered

COVERED = [
    (Scope.EVERYTHING, "", True),
    (Scope.AGENT, "agent", True),
    (Scope.AGENT, "other", False),
    (Scope.AGENT, "", False),
    (Scope.TOOL, "far_note", True),
    (Scope.TOOL, "far", False),
    (Scope.TOOL, "FAR_NOTE", False),
    (Scope.SERVER, "far", True),
    (Scope.SERVER, "far_note", False),
    (Scope.SERVER, "near", False),
]


@pytest.mark.parametrize(("scope", "target", "is_covered"), COVERED)
async def test_what_a_stop_covers(tmp_path: Path, scope: Scope, target: str, is_covered: bool) -> None:
    """The same by the call, by the case on record, and by the condition of SQL."""
    async with stoppable(tmp_path) as (store, _):
        text = '{"name":"far_note","upstream":"far"}'
        definition = Definition(text=text, sha256=digest({"name": "far_note", "upstream": "far"}))
        case = (
            await store.database.write(
                lambda connection: insert_case(connection, tool_call("far_note"), definition)
            )
        )[0]
        stops = Stops(store.database)  # which takes any name
        if target or scope is Scope.EVERYTHING:
            stop = await stops.stop(scope, target, reason="odd", person_name="anna")
        else:
            with pytest.raises(TargetUnknown):
                await stops.stop(scope, target, reason="odd", person_name="anna")
            return

        def look(connection: Connection) -> list[bool]:
            call = {"principal": "agent", "tool_name": "far_note", "server": "far"}
            by_sql = connection.execute(
                cases.select().where(covered_by([stop]), cases.c.case_id == case.case_id)
            )
            found = [stop_of_call(connection, **call), stop_of(connection, case), by_sql.first()]
            return [one is not None for one in found]

        assert await store.database.read(look) == [is_covered] * 3


async def test_a_tool_of_no_server_is_not_covered_by_the_stop_of_one(tmp_path: Path) -> None:
    """Also a tool whose name begins like the names of that server."""
    async with stoppable(tmp_path) as (store, stops):
        await stops.stop(Scope.SERVER, "far", reason="odd", person_name="anna")
        case = await waiting(store, tool_call("far_note"))
        assert case.frozen_at is None and await store.database.read(lambda c: stop_of(c, case)) is None


# What freezes


async def test_a_frozen_case_does_not_expire_and_gets_its_time_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three hours of a stop are not of the day to decide; then the time runs on."""
    async with stoppable(tmp_path) as (store, stops):
        before = await waiting(store)
        assert before.expires_at is not None
        stop = await stop_all(stops)
        frozen = await store.read(before.case_id)
        assert (frozen.frozen_at, frozen.stop) == (stop.stopped_at, stop)
        later = before.expires_at + 3 * DAY
        clock(monkeypatch, later)
        assert (
            await decide_after_wait(before.case_id, store=store, is_woken=False)
        ).status is Status.PENDING_REVIEW
        assert (await lift(stops, stop)).lifted_at == later
        after = await store.read(before.case_id)
        assert after.frozen_at is None and after.stop is None
        assert after.expires_at == before.expires_at + (later - stop.stopped_at)
        clock(monkeypatch, after.expires_at)
        assert (await decide_after_wait(before.case_id, store=store, is_woken=False)).status is Status.EXPIRED


def clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Have it that moment, for all that looks at deadlines."""
    for module in (
        "atlas.stop.stops",
        "atlas.reviews.recording",
        "atlas.workflow.patience",
        "atlas.cases.reviews",
    ):
        monkeypatch.setattr(f"{module}.now", lambda: moment)


async def test_a_case_whose_time_is_over_expires_under_a_stop_too(tmp_path: Path) -> None:
    """It was over before the stop; a lift brings no time back."""
    async with stoppable(tmp_path) as (store, stops):
        case = await waiting(store, timeout=timedelta(0))
        await stop_all(stops)
        assert (await store.read(case.case_id)).frozen_at is None
        assert (await decide_after_wait(case.case_id, store=store, is_woken=False)).status is Status.EXPIRED


async def test_a_case_is_frozen_until_the_last_stop_that_covers_it_is_lifted(tmp_path: Path) -> None:
    """Since the first one; what only the lifted stop covered goes on."""
    async with stoppable(tmp_path) as (store, stops):
        note, other = await waiting(store, tool_call("note")), await waiting(store, tool_call("other"))
        first = await stop_all(stops)
        second = await stops.stop(Scope.TOOL, "note", reason="odd", person_name="bob")
        await lift(stops, first)
        still, free = await store.read(note.case_id), await store.read(other.case_id)
        assert (still.frozen_at, still.stop) == (first.stopped_at, second) and free.frozen_at is None
        lifted = await lift(stops, second)
        thawed = await store.read(note.case_id)
        assert note.expires_at is not None and lifted.lifted_at is not None
        assert thawed.expires_at == note.expires_at + (lifted.lifted_at - first.stopped_at)


async def test_a_case_that_comes_to_review_under_a_stop_is_frozen_from_then_on(tmp_path: Path) -> None:
    """Its whole time is left at the lift."""
    async with stoppable(tmp_path) as (store, stops):
        stop = await stop_all(stops)
        case = await waiting(store)
        assert case.frozen_at is not None and case.stop == stop
        assert case.expires_at == case.frozen_at + DAY
        lifted = await lift(stops, stop)
        assert lifted.lifted_at is not None
        assert (await store.read(case.case_id)).expires_at == lifted.lifted_at + DAY


async def test_a_clock_that_is_put_back_takes_no_time_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time to decide is never shorter after a stop."""
    async with stoppable(tmp_path) as (store, stops):
        case, stop = await waiting(store), await stop_all(stops)
        monkeypatch.setattr(atlas.stop.stops, "now", lambda: stop.stopped_at - DAY)
        await lift(stops, stop)
        assert (await store.read(case.case_id)).expires_at == case.expires_at


async def test_a_frozen_case_is_rejected_but_not_approved_and_approvals_before_the_stop_stay(
    tmp_path: Path,
) -> None:
    """The refusal says who stopped what, since when and why."""
    async with stoppable(tmp_path) as (store, stops):
        votes = decisions(store, approvals=2)
        first = await waiting(store, tool_call("note", text="a"), approvals=2)
        second = await waiting(store, tool_call("note", text="b"), approvals=2)
        await votes.record(first.case_id, approval("anna"))
        stop = await stops.stop(Scope.TOOL, "note", reason="fire", person_name="anna")
        with pytest.raises(Stopped) as refused:
            await votes.record(first.case_id, approval("bob"))
        since = f"{stop.stopped_at:%Y-%m-%d %H:%M:%S} UTC"
        assert (
            str(refused.value) == f"Case {first.case_id} waits, and was not approved: "
            f"anna stopped the tool note at {since}. Reason: fire."
        )
        assert (await votes.record(second.case_id, rejection("bob"))).status is Status.REJECTED
        await lift(stops, stop)
        assert (await votes.record(first.case_id, approval("bob"))).status is Status.AUTHORIZED
        assert (await store.read(second.case_id)).frozen_at is None  # it has ended


async def test_a_call_that_is_not_assessed_yet_is_not_approved_under_a_stop(tmp_path: Path) -> None:
    """A person may decide before the score; not now."""
    async with stoppable(tmp_path) as (store, stops):
        case = await open_case(store)
        await stop_all(stops)
        with pytest.raises(Stopped):
            await decisions(store).record(case.case_id, approval())
        assert (await store.read(case.case_id)).status is Status.QUEUED


async def test_the_same_approval_again_is_a_success_under_a_stop(tmp_path: Path) -> None:
    """It changes nothing, and was taken before."""
    async with stoppable(tmp_path) as (store, stops):
        case = await approved(store)
        await stop_all(stops)
        again = await decisions(store).record(case.case_id, approval("r"))
        assert again.decision is not None and again.status is Status.AUTHORIZED


async def test_what_is_approved_is_held_and_stays_marked_until_it_begins(tmp_path: Path) -> None:
    """The courier finds it by the mark after the lift. Each change of its status takes the mark away."""
    async with stoppable(tmp_path) as (store, stops):
        case = await approved(store)
        stop = await stop_all(stops)
        held = await store.read(case.case_id)
        assert (held.status, held.frozen_at, held.stop) == (Status.AUTHORIZED, stop.stopped_at, stop)
        await lift(stops, stop)
        free = await store.read(case.case_id)
        assert free.frozen_at == stop.stopped_at and free.stop is None
        begin = await store.change(
            case.case_id, lambda c: transition(c, read_case(c, case.case_id), Status.EXECUTING)
        )
        assert begin.frozen_at is None and (await store.read(case.case_id)).frozen_at is None


async def test_among_thousands_of_stops_each_is_lifted_and_no_other(tmp_path: Path) -> None:
    """SQLite refuses a chain of a thousand conditions: no stop could be lifted any more, and no run woken."""
    async with stoppable(tmp_path) as (store, stops):
        case = await waiting(store)

        def many(connection: Connection) -> None:
            one = {"reason": "x", "stopped_by": "anna", "stopped_at": now()}
            rows = [
                one | {"stop_id": f"stop_{n}", "scope": "agent", "target": f"a{n}"} for n in range(40_000)
            ]
            connection.execute(atlas.stop.tables.stops.insert(), rows)

        await store.database.write(many)
        own = await stops.stop(Scope.AGENT, case.call.principal, reason="fire", person_name="anna")
        await stops.lift("stop_7", reason="out", person_name="anna")
        assert (await store.read(case.case_id)).frozen_at == own.stopped_at
        await lift(stops, own)
        assert (await store.read(case.case_id)).frozen_at is None
        in_force = await stops.in_force()
        assert await store.select(covered_by(in_force)) == []


async def test_five_thousand_waiting_cases_freeze_and_thaw_in_one_transaction_each(tmp_path: Path) -> None:
    """All of them, beside others that another stop holds; the measured seconds are printed."""
    async with stoppable(tmp_path) as (store, stops):
        case = await waiting(store)

        def copy(connection: Connection) -> None:
            row = dict(
                connection.execute(cases.select().where(cases.c.case_id == case.case_id)).mappings().one()
            )
            rows = [row | {"case_id": f"evt_{n:016d}", "arguments_sha256": f"{n:064d}"} for n in range(4999)]
            connection.execute(cases.insert(), rows)

        await store.database.write(copy)
        began = time.perf_counter()
        stop = await stop_all(stops)
        stopped = time.perf_counter()
        await lift(stops, stop)
        over = time.perf_counter()
        print(f"5,000 cases: stopped in {stopped - began:.3f} s, lifted in {over - stopped:.3f} s")
        begun, lifted = entries(store, "stop.begun", "stop.lifted")
        assert begun["detail"]["waiting_frozen"] == lifted["detail"]["waiting_thawed"] == 5000
        assert await store.select(cases.c.frozen_at.is_not(None)) == []
        ends = {
            one.expires_at for one in await store.select(cases.c.status == "PENDING_REVIEW", limit=10_000)
        }
        assert case.expires_at is not None
        assert ends == {case.expires_at + (instant(lifted) - stop.stopped_at)}


def instant(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["at"].replace("Z", "+00:00"))


# What the run and the agent are told


async def test_a_run_under_a_stop_takes_few_steps_in_a_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two for each look; Inngest allows 1,000. And it never sleeps past the end without a stop."""
    async with stoppable(tmp_path) as (store, stops):
        case = await waiting(store, timeout=timedelta(seconds=60))
        assert 0 < seconds_to_wait(case) <= 61
        stop = await stop_all(stops)
        frozen, moment, looks = await store.read(case.case_id), stop.stopped_at, {30: 0, 365: 0}
        while moment < stop.stopped_at + 365 * DAY:
            clock(monkeypatch, moment)
            for days in looks:
                looks[days] += moment < stop.stopped_at + days * DAY
            moment += timedelta(seconds=seconds_to_wait(frozen))
        print(f"looks in 30 days: {looks[30]}, in a year: {looks[365]}")
        assert 10 < looks[30] < 100 and looks[365] < 120


async def test_an_agent_reads_that_a_person_stopped_its_call_since_when_and_why(tmp_path: Path) -> None:
    """In the notice, in the facts and in its progress; the name of the person is not its business."""
    async with stoppable(tmp_path) as (store, stops):
        case, other = await waiting(store), await approved(store, tool_call("note"))
        stop = await stops.stop(Scope.EVERYTHING, reason="Fire in the cellar!", person_name="anna")
        said = (
            f"A person stopped all calls at {stop.stopped_at:%Y-%m-%d %H:%M:%S} UTC. Reason: Fire in the "
            "cellar! Until a person lifts the stop, the call goes no further."
        )
        for one in (await store.read(case.case_id), await store.read(other.case_id)):
            assert (
                said in pending_text(one) and said in progress_text(one) and "anna" not in str(facts_of(one))
            )
            assert facts_of(one)["stop_reason"] == "Fire in the cellar!"
            assert pending_text(one).splitlines()[2].startswith("Nothing has failed. Do not repeat the call")
        assert pending_text(await store.read(case.case_id)).startswith(
            f"PENDING REVIEW (Ref: {case.case_id})"
        )
        assert "is approved, and begins only when" in pending_text(await store.read(other.case_id))
        await lift(stops, stop)
        assert "stop" not in pending_text(await store.read(case.case_id))
        assert "about to be executed" in pending_text(await store.read(other.case_id))


async def test_the_clock_of_the_stop_is_the_clock_of_the_ledger(tmp_path: Path) -> None:
    """One moment for the stop, for what froze, and for the entry."""
    async with stoppable(tmp_path) as (store, stops):
        case, began = await waiting(store), now()
        stop = await stop_all(stops)
        [entry] = entries(store, "stop.begun")
        assert began <= stop.stopped_at <= now() and instant(entry) == stop.stopped_at
        assert (await store.read(case.case_id)).frozen_at == stop.stopped_at
