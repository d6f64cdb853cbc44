"""A replay in a process of its own, for the desk: it yields to every other process, and ends with its parent.

The task comes as one line of JSON, and progress and the end of it go out as lines of JSON. Standard input
stays open while the parent lives.
"""

import os
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

from atlas.assessors.policy import Policy
from atlas.database.location import Location
from atlas.errors import DatabaseUnusable, PolicyInvalid
from atlas.frozen import Frozen
from atlas.replay.report import Report
from atlas.replay.run import replay
from atlas.replay.span import Span
from atlas.replay.workers import give_way

PASTED = Path("policy.toml")  # how a policy that is in no file is named


class Task(Frozen):
    """What is to be tried."""

    location: Location
    policy: str
    threshold: int
    reviewers: tuple[str, ...] | None  # who has a name; None: it is not known
    since: datetime
    until: datetime
    budget: timedelta
    idle: timedelta


class Told(Frozen):
    """One line of the answer: how far it has come, or its end."""

    done: int = 0
    of: int = 0
    report: Report | None = None
    problem: str | None = None  # why there is no report


def main() -> None:
    """Do the task of standard input."""
    give_way()
    task = Task.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _tell(_answer(task))


def _answer(task: Task) -> Told:
    try:
        policy = Policy(
            PASTED, threshold=task.threshold, content=task.policy.encode("utf-8", "surrogatepass")
        )
        if task.reviewers is not None:
            policy.check_reviewers(task.reviewers)
        span = Span(since=task.since, until=task.until, budget=task.budget, idle=task.idle)
        report = replay(task.location, policy, span, tell=lambda done, of: _tell(Told(done=done, of=of)))
    except (PolicyInvalid, DatabaseUnusable) as error:
        return Told(problem=str(error))
    return Told(report=report)


def _tell(told: Told) -> None:
    sys.stdout.write(f"{told.model_dump_json(exclude_defaults=True)}\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
