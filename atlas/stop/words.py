"""A stop in a sentence, for agents, for reviewers and for the log."""

from atlas.models import Stop

A_PERSON = "a person"  # for agents, who need no name


def told(stop: Stop, *, by: str = A_PERSON) -> str:
    """`a person stopped all calls at 2026-11-27 09:32:35 UTC. Reason: …`, which ends with a full stop."""
    return f"{by} stopped {stop.what} at {stop.stopped_at:%Y-%m-%d %H:%M:%S} UTC. {_reason(stop.reason)}"


def told_of_lift(stop: Stop) -> str:
    """The same of its lift."""
    return f"{stop.lifted_by} lifted the stop of {stop.what}. {_reason(stop.lift_reason or '')}"


def _reason(reason: str) -> str:
    return f"Reason: {reason}" if reason.endswith((".", "!", "?")) else f"Reason: {reason}."
