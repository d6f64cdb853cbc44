"""Goes through the calls of a span of time with a policy, and reports; nothing is executed or written."""

from collections.abc import Callable
from contextlib import closing
from time import monotonic

from atlas.assessors.policy import Policy
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.replay.comparing import Task
from atlas.replay.past import count, windows_of
from atlas.replay.report import Counting, Report
from atlas.replay.span import Span
from atlas.replay.verdicts import FirstSeen
from atlas.replay.workers import compared, cores

Tells = Callable[[int, int], None]  # how many calls of how many were looked at
MOST_CALLS = 2000  # of one window
LEAST_CALLS = 1500  # for which a worker more is begun, which takes two seconds to be there


def replay(
    location: Location,
    policy: Policy,
    span: Span,
    *,
    tell: Tells = lambda done, of: None,
    workers: int = 1,
) -> Report:
    """What a policy would have said of the calls on record; raises DatabaseUnusable or WorkerEnded.

    The report is the same with any number of workers, which is never more than the cores.
    """
    ends_at = monotonic() + span.budget.total_seconds()
    store = beside(location)
    total = count(store, span.since, span.until)
    workers = max(1, min(workers, cores()))
    windows = windows_of(store, span, max(1, min(MOST_CALLS, total // (4 * workers))))
    task = Task(
        location=location,
        policy=policy.file.path,
        content=policy.file.content,
        threshold=policy.threshold,
        span=span,
    )
    counting, first = Counting(threshold=policy.threshold), FirstSeen(store, policy.sha256)
    tell(0, total)
    with closing(compared(task, windows, ends_at, workers=workers)) as parts:
        for part in parts:
            for call in part.calls:
                if call is None:
                    counting.skip()
                else:
                    counting.add(call, first.said(call.now, call.tool_name))
            tell(counting.seen, total)
            if not part.is_whole:
                break
    return counting.told(
        sha256=policy.sha256,
        name=str(policy.file.path),
        since=span.since,
        until=span.until,
        left_out=max(0, total - counting.seen),
    )


def workers_for(location: Location, span: Span) -> int:
    """How many workers are worth their start."""
    return max(1, min(cores(), count(beside(location), span.since, span.until) // LEAST_CALLS))
