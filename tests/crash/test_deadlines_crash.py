"""A gateway that is killed while reminders, escalations and begins are due does each of them once."""

from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gateway_process import GatewayProcess
from kept import entries_in
from shifted_clock import set_clock

from atlas.instants import read_instant
from crash.deadline_load import DeadlineLoad
from crash.gateway_load import rows
from crash.test_gateway_crash import MOMENTS, build_gateway, crash, seed_of_test

UNDO = timedelta(seconds=1)
RULES = """
[[rule]]
tool = "look"
score = 5

[[rule]]
tool = "change"
score = 90
review_timeout = "48h"
undo = "1s"
escalate = [{ after = "4h", to = "group:seniors" }, { after = "10h", to = "otto" }]
"""
HOURS = 42.0  # by which the clock is put forward from kill to kill, of the two days that there are to decide
OF_CLOCK = ("before atlas.reviews.clock Clock._look", "after atlas.reviews.clock Clock._look")
ENDS = ("decide.approved", "decide.rejected", "decide.reopened", "decide.expired")


async def test_what_is_due_is_done_once_by_a_gateway_that_is_killed_a_few_times(tmp_path: Path) -> None:
    """The clock is put forward from kill to kill, so that reminders and escalations fall due all the time."""
    await crash_with_deadlines(tmp_path, kills=3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_what_is_due_is_done_once_by_a_gateway_that_is_killed_300_times(tmp_path: Path) -> None:
    """The same, long enough to hit the rare moments."""
    await crash_with_deadlines(tmp_path, kills=300)


async def crash_with_deadlines(directory: Path, *, kills: int) -> None:
    """Kill it that often, put its clock forward meanwhile, and compare what was due with what was done."""
    gateway, clock = build_gateway(directory), directory / "clock"
    set_clock(clock)
    (directory / "policy.toml").write_text(RULES)
    gateway._environment["ATLAS_TEST_CLOCK"] = str(clock)

    def forward(number: int) -> None:
        set_clock(clock, hours=HOURS * number / kills)

    load = await crash(
        gateway,
        kills,
        seed_of_test(),
        load_of=partial(DeadlineLoad, put_forward=timedelta(hours=HOURS)),
        moments=(*MOMENTS, *OF_CLOCK * 2),
        between=forward,
    )
    assert isinstance(load, DeadlineLoad)
    print(check_deadlines(gateway, load))


def check_deadlines(gateway: GatewayProcess, load: DeadlineLoad) -> str:
    """Each thing that was due was done once or is still due, and nothing begun too early; says how many."""
    entries = list(entries_in(gateway.data))
    assert load.drained_by is not None
    done = check_due(gateway, entries, drained_by=load.drained_by)
    assert done["escalation"], "nothing was due"
    check_undo(entries, load)
    escalated = f"{done['escalation']} escalations"
    return f"{done['reminder']} reminders, {escalated}, {len(load.taken_back)} taken back"


def check_due(
    gateway: GatewayProcess, entries: list[dict[str, Any]], *, drained_by: datetime
) -> Counter[str]:
    """What was due, beside ledger, notices and escalations."""
    written = Counter(
        (entry["case_id"], entry["detail"]["round"], kind, entry["detail"]["step"])
        for entry in entries
        for kind in [{"decide.reminded": "reminder", "decide.escalated": "escalation"}.get(entry["action"])]
        if kind is not None
    )
    assert set(written.values()) <= {1}, "something was done twice"
    told = Counter[tuple[str, int, str]]()
    for case_id, number, kind in rows(
        gateway, "SELECT case_id, round_number, kind FROM notices WHERE kind IN ('reminded', 'escalated')"
    ):
        told[(case_id, number, {"reminded": "reminder", "escalated": "escalation"}[kind])] += 1
    assert told == Counter(key[:3] for key in written.elements()), "a notice is missing, or there are two"
    kept = Counter(rows(gateway, "SELECT case_id, round_number, 'escalation', step FROM escalations"))
    assert kept == Counter(key for key in written.elements() if key[2] == "escalation")
    left = leaving_times(entries)
    for case_id, number, kind, step, due_at, done_at in rows(
        gateway, "SELECT case_id, round_number, kind, step, due_at, done_at FROM due_times"
    ):
        key = (case_id, number, kind, step)
        if done_at is None:
            assert not written[key]
            assert read_instant(due_at) > drained_by, "it is due and was not done"
        elif not written[key]:
            assert left[(case_id, number)] <= done_at, "it was dropped while the case waited"
    return Counter(kind for _, _, kind, _ in written.elements())


def leaving_times(entries: list[dict[str, Any]]) -> dict[tuple[str, int], str]:
    """When a case was decided first in each of its rounds, or left it."""
    left: dict[tuple[str, int], str] = {}
    number: Counter[str] = Counter()
    for entry in entries:
        if entry["action"] in ENDS:
            left.setdefault((entry["case_id"], number[entry["case_id"]] + 1), entry["at"])
        if entry["action"] == "decide.reopened":
            number[entry["case_id"]] += 1
    return left


def check_undo(entries: list[dict[str, Any]], load: DeadlineLoad) -> None:
    """What was taken back is on record once, and each begin follows an approval of its own in time."""
    taken = Counter(
        (entry["case_id"], entry["detail"]["round"])
        for entry in entries
        if entry["action"] == "decide.taken_back"
    )
    assert set(taken.values()) <= {1}
    assert load.taken_back <= set(taken)
    approved: dict[str, str | None] = {}
    for entry in entries:
        if entry["action"] == "decide.approved":
            approved[entry["case_id"]] = entry["at"]
        elif entry["action"] == "decide.taken_back":
            approved[entry["case_id"]] = None
        elif entry["action"] == "execute.started" and entry["case_id"] in approved:
            at = approved[entry["case_id"]]
            assert at is not None, "it began on an approval that was taken back"
            assert read_instant(entry["at"]) - read_instant(at) >= UNDO, "it began too early"
