"""Goes through the calls of a span of time with a policy, and reports; nothing is executed or written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

from atlas.assessors.policy import Policy
from atlas.database.read_only import ReadOnlyFile
from atlas.replay.before import Before
from atlas.replay.past import Past, count, steps
from atlas.replay.questions import reads_tags
from atlas.replay.report import Counting, Report
from atlas.replay.span import Span
from atlas.replay.verdicts import Judge, then

Tells = Callable[[int, int], None]  # how many calls of how many were looked at


def replay(directory: Path, policy: Policy, span: Span, *, tell: Tells = lambda done, of: None) -> Report:
    """What a policy would have said of the calls on record; raises DatabaseUnusable."""
    file = ReadOnlyFile(directory / "atlas.db")
    total = count(file, span.since, span.until)
    judge, earlier = Judge(policy, file), Before(policy, span).earlier
    counting = Counting(threshold=policy.threshold, without_tags=reads_tags(policy))
    _go_through(steps(file, span, earlier), judge, counting, span, lambda: tell(counting.seen, total))
    return counting.told(
        sha256=policy.sha256,
        name=str(policy.file.path),
        since=span.since,
        until=span.until,
        left_out=max(0, total - counting.seen),
    )


def _go_through(
    calls: Iterator[list[Past]], judge: Judge, counting: Counting, span: Span, tell: Callable[[], None]
) -> None:
    """Count each call, until all are counted or the time is up."""
    ends_at = monotonic() + span.budget.total_seconds()
    tell()
    for step in calls:
        for past in step:
            if monotonic() > ends_at:
                return
            before = then(past)
            if before is None:
                counting.skip()
                continue
            after = judge.now(past)
            counting.add(
                past,
                before,
                after,
                has_definition=judge.questions.has_definition(past),
                has_other_trust=judge.has_other_trust(past),
            )
        tell()
