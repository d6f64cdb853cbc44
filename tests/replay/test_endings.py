"""A policy tried on calls that expired, failed, or were judged again: each counts as it was judged first."""

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

from kept import location_in, store_by_hand
from past_cases import write_past

from atlas.assessors.policy import Policy
from atlas.replay.report import Report
from atlas.replay.run import replay
from atlas.replay.span import Span

CALLS = 60
ALL = Span(
    since=datetime(2000, 1, 1, tzinfo=timezone.utc),
    until=datetime(2100, 1, 1, tzinfo=timezone.utc),
    budget=timedelta(hours=1),
)
UNJUDGED = """
INSERT INTO cases (case_id, principal, tool_name, arguments, arguments_sha256, status, opened_at)
SELECT 'evt_ffffffffffffffff', principal, tool_name, '{}', '', ?, opened_at FROM cases WHERE case_id = ?
"""
AGAIN = """
INSERT INTO assessments (case_id, round_number, risk_score, classification, action, rationale, assessor,
  threshold, arguments_sha256, assessed_at, ruling, trace)
SELECT case_id, 2, 99, classification, action, rationale, assessor, threshold, arguments_sha256, assessed_at,
  ruling, trace
FROM assessments WHERE case_id = ?
"""


def _tried(directory: Path, *changes: str, again: bool = False, unjudged: str | None = None) -> Report:
    """The report on a policy that approves all, with a call that was changed or one that was never judged."""
    asyncio.run(write_past(directory, CALLS))
    first = f"evt_{0:016x}"
    with store_by_hand(directory) as connection:
        for change in changes:
            assert connection.execute(f"{change} WHERE case_id = ?", (first,)).rowcount == 1
        if unjudged is not None:
            assert connection.execute(UNJUDGED, (unjudged, first)).rowcount == 1
        if again:
            assert connection.execute(AGAIN, (first,)).rowcount == 1
    content = b'[[rule]]\ntool = "*"\nscore = 5\n'
    return replay(location_in(directory), Policy(Path("tried.toml"), threshold=70, content=content), ALL)


def test_a_call_that_expired_before_it_was_judged_was_put_before_a_person(tmp_path: Path) -> None:
    """It has no score, and a person decides on it now as well, because it has no trace."""
    report = _tried(tmp_path, unjudged="EXPIRED")
    assert (report.calls, report.notes.not_judged, report.notes.failed_then) == (CALLS + 1, 0, 1)
    assert report.verdicts["asked"]["asked"] == 1


def test_a_call_that_failed_before_it_was_judged_is_left_out(tmp_path: Path) -> None:
    """It is said, and not counted."""
    report = _tried(tmp_path, unjudged="FAILED")
    assert (report.calls, report.left_out, report.notes.not_judged) == (CALLS, 0, 1)


def test_a_call_that_failed_after_it_was_judged_counts_as_it_was_judged(tmp_path: Path) -> None:
    """What became of the deed is not what is compared; the score of this one was 0."""
    report = _tried(tmp_path, "UPDATE cases SET status = 'FAILED'")
    assert (report.calls, report.notes.not_judged) == (CALLS, 0)
    assert report.verdicts["approved"]["approved"] == CALLS


def test_a_call_that_was_judged_again_counts_as_it_was_judged_first(tmp_path: Path) -> None:
    """The second round has the score 99; it is in no verdict, and it is told."""
    report = _tried(tmp_path, "UPDATE cases SET round_number = 2", again=True)
    assert (report.calls, report.notes.reopened) == (CALLS, 1)
    assert report.verdicts["asked"] == {"approved": 0, "asked": 0, "denied": 0}
