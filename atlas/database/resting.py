"""How work in the background leaves others the machine: it rests a multiple of the CPU time that it took."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.engine import Connection

from atlas.instants import now

REST = 40  # times as long as it took it leaves to others, and the less the later it is
LATE = timedelta(seconds=45)  # from which on it leaves nothing

Result = TypeVar("Result")


def timed(work: Callable[[Connection], Result]) -> Callable[[Connection], tuple[Result, float]]:
    """The same work, which also says the CPU time that it took: a busy machine makes the rest no longer."""

    def run(connection: Connection) -> tuple[Result, float]:
        began = time.thread_time()
        result = work(connection)
        return result, time.thread_time() - began

    return run


def rest_after(seconds: float, *, due_since: datetime) -> float:
    """How many seconds to rest after so much CPU time, while the oldest that is left is due since then."""
    late = max(now() - due_since, timedelta(0))
    return seconds * REST * max(0.0, 1 - late / LATE)
