"""Goes through the calls of a span of time with a policy, and reports; nothing is executed or written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

from atlas.assessors.policy import Policy
from atlas.database.read_only import ReadOnlyFile
from atlas.replay.past import count, steps
from atlas.replay.questions import reads_tags
from atlas.replay.report import Counting, Report
from atlas.replay.verdicts import Judge, then

Tells = Callable[[int, int], None]  # how many calls of how many were looked at


@dataclass(frozen=True)
class Span:
    """Which calls are looked at, and how long that may take."""

    since: datetime
    until: datetime
    budget: timedelta


def replay(directory: Path, policy: Policy, span: Span, *, tell: Tells = lambda done, of: None) -> Report:
    """What a policy would have said of the calls on record; raises DatabaseUnusable."""
    file = ReadOnlyFile(directory / "atlas.db")
    total = count(file, span.since, span.until)
    judge = Judge(policy, file)
    counting = Counting(threshold=policy.threshold, without_tags=reads_tags(policy))
    _go_through(file, judge, counting, span, lambda: tell(counting.seen, total))
    return counting.told(
        sha256=policy.sha256,
        name=str(policy.file.path),
        since=span.since,
        until=span.until,
        left_out=max(0, total - counting.seen),
    )


def _go_through(
    file: ReadOnlyFile, judge: Judge, counting: Counting, span: Span, tell: Callable[[], None]
) -> None:
    """Count each call, until all are counted or the time is up."""
    ends_at = monotonic() + span.budget.total_seconds()
    tell()
    for step in steps(file, span.since, span.until):
        for past in step:
            if monotonic() > ends_at:
                return
            before = then(past)
            if before is None:
                judge.pass_by(past)
                counting.skip()
                continue
            after = judge.now(past)
            counting.add(past, before, after, has_definition=judge.questions.has_definition(past))
        tell()
