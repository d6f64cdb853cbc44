"""What conditions name of a call beside its words: `call`, `session` and `origin`, out of the trace."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from atlas.assessors import Question
from atlas.origins.leaves import leaves_of
from atlas.traces import Origin, Trace

CALL: dict[str, Callable[[Trace], Any]] = {
    "deed": attrgetter("deed"),
    "acts": attrgetter("acts"),
    "is_asked": attrgetter("is_asked"),
    "is_request_known": attrgetter("is_request_known"),
    "target_from_outside": attrgetter("has_target_from_outside"),
    "takes_only_entries": attrgetter("takes_only_entries"),
}
SESSION: dict[str, Callable[[Trace], bool]] = {
    "read_outside": attrgetter("read_outside"),
    "orders": lambda trace: bool(trace.orders),
    "is_complete": attrgetter("is_complete"),
}
ORIGIN = ("outside", "user", "made", "target", "orders", "tools")


class NotTraced(ValueError):
    """Where all values of the call came from could not be found out."""


def trace_of(question: Question) -> Trace:
    """The trace of a call; raises NotTraced if it could not be made."""
    if question.trace is None:
        raise NotTraced
    return question.trace


def call_facts(question: Question) -> dict[str, Any]:
    """What the call does, and whether it was asked for."""
    return {name: of(trace_of(question)) for name, of in CALL.items()}


def session_facts(question: Question) -> dict[str, Any]:
    """What the session read before the call."""
    return {name: of(trace_of(question)) for name, of in SESSION.items()}


def origin_facts(question: Question) -> dict[str, dict[str, Any]]:
    """Where each value came from, by its path, and each argument as a whole, by its name.

    Two values that an agent gives the same path are taken together. Raises NotTraced if a value has no
    origin: an agent could hide one behind many.
    """
    by_path: dict[str, list[Origin]] = {}
    for origin in trace_of(question).origins:
        by_path.setdefault(origin.path, []).append(origin)
    named = dict(by_path)
    for name, value in question.arguments.items():
        leaves, is_whole = leaves_of({name: value})
        paths = dict.fromkeys(leaf.path for leaf in leaves)
        if not is_whole or not paths.keys() <= by_path.keys():
            raise NotTraced
        if paths:
            named[name] = [*named.get(name, ()), *(origin for path in paths for origin in by_path[path])]
    return {name: _together(origins) for name, origins in named.items()}


def _together(origins: list[Origin]) -> dict[str, Any]:
    """The user's only if all are; anything else as soon as one is."""
    found = [place for origin in origins for place in origin.found]
    return {
        "outside": any(origin.is_outside for origin in origins),
        "user": all(origin.is_from_user for origin in origins),
        "made": any(origin.is_made for origin in origins),
        "target": any(origin.is_target for origin in origins),
        "orders": any(place.gives_orders for place in found),
        "tools": list(dict.fromkeys(place.tool_name for place in found)),
    }
