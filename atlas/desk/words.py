"""How the desk writes times, ages and texts; each is a filter of the templates."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from atlas.desk.seen import seen, seen_all, seen_plain, seen_text
from atlas.instants import now
from atlas.models import Status

STATUSES = {
    Status.QUEUED: "is being judged",
    Status.PENDING_REVIEW: "waits for a person",
    Status.AUTHORIZED: "approved, not begun",
    Status.EXECUTING: "runs now",
    Status.EXECUTED: "executed",
    Status.REJECTED: "rejected",
    Status.DENIED: "denied by the policy",
    Status.WITHDRAWN: "withdrawn by the agent",
    Status.EXPIRED: "expired",
    Status.FAILED: "failed, not executed",
    Status.OUTCOME_UNKNOWN: "outcome unknown",
}


def instant(value: datetime | None) -> str:
    """A point in time for people, in UTC with its zone; the browser shows it in its own zone."""
    return "" if value is None else value.strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_time(value: datetime) -> str:
    """The same for the attribute `datetime` of a `time` element."""
    return value.isoformat()


def ago(value: datetime) -> str:
    """How long ago it was: `3 min`."""
    return span_text(now() - value)


def left(value: datetime) -> str:
    """How much time is left until then: `23 h 4 min`, or `over`."""
    rest = value - now()
    return span_text(rest) if rest > timedelta(0) else "over"


def span_text(span: timedelta) -> str:
    """A length of time in its two largest units: `2 d 4 h`, `5 min`, `12 s`."""
    seconds = max(0, int(span.total_seconds()))
    parts = (("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60))
    said = [f"{number} {unit}" for unit, number in parts if number]
    return " ".join(said[:2]) or f"{seconds} s"


FILTERS: dict[str, Callable[..., Any]] = {
    "instant": instant,
    "machine_time": machine_time,
    "ago": ago,
    "left": left,
    "span_text": span_text,
    "in_words": STATUSES.__getitem__,
    "seen": seen,
    "seen_all": seen_all,
    "seen_plain": seen_plain,
    "seen_text": seen_text,
}
