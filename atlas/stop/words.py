"""A stop in a sentence, for agents, for reviewers and for the log."""

from sqlalchemy.engine import Connection

from atlas.models import Stop, ToolCall
from atlas.stop.covering import stop_of_call

A_PERSON = "a person"  # for agents, who need no name


def told(stop: Stop, *, by: str = A_PERSON) -> str:
    """`a person stopped all calls at 2026-11-27 09:32:35 UTC. Reason: …`, which ends with a full stop."""
    return f"{by} stopped {stop.what} at {stop.stopped_at:%Y-%m-%d %H:%M:%S} UTC. {_reason(stop.reason)}"


def told_of_lift(stop: Stop) -> str:
    """The same of its lift."""
    return f"{stop.lifted_by} lifted the stop of {stop.what}. {_reason(stop.lift_reason or '')}"


def refusal_of(connection: Connection, call: ToolCall, *, server: str | None) -> str | None:
    """What an agent reads of a call that a stop keeps from being admitted; None if no stop covers it."""
    stop = stop_of_call(connection, principal=call.principal, tool_name=call.tool_name, server=server)
    return None if stop is None else refused("This call was refused", stop)


def refused(what: str, stop: Stop) -> str:
    """What an agent reads of something that did not begin because of a stop."""
    return f"{what}: {told(stop)} Nothing was done. Do not try it again until a person lifts the stop."


def _reason(reason: str) -> str:
    return f"Reason: {reason}" if reason.endswith((".", "!", "?")) else f"Reason: {reason}."
