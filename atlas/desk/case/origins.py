"""Where the arguments of a call came from, as the page of its case shows it beside each of them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from atlas.models import ANSWERS, Case, ToolCall
from atlas.origins.saying import (
    Marked,
    given_by_person,
    is_within,
    marked_value,
    said_of_given,
    said_of_origin,
    values_of,
)
from atlas.traces import Found, Origin, Trace


class PlaceOnDesk(NamedTuple):
    """An earlier answer in which a value stood, and the passage with the value in it."""

    case_id: str | None
    tool_name: str
    passage: Marked


class OriginOnDesk(NamedTuple):
    """What stands beside one argument."""

    said: str
    is_outside: bool
    is_target: bool
    places: tuple[PlaceOnDesk, ...]


def origins_of(case: Case) -> dict[str, list[OriginOnDesk]]:
    """By the path of the line of the argument; two arguments whose paths are alike are told together."""
    trace = case.assessment.trace if case.assessment else None
    found: dict[str, list[OriginOnDesk]] = defaultdict(list)
    if trace is not None:
        call, given = case.call_in_force, given_by_person(trace, case)
        for origin, value, is_given in zip(trace.origins, values_of(trace, call), given, strict=True):
            on_desk = _given(case) if is_given else _on_desk(origin, value, trace, call)
            found[_path(origin, call)].append(on_desk)
    return dict(found)


def _given(case: Case) -> OriginOnDesk:
    said = said_of_given(case)
    return OriginOnDesk(f"{said[0].upper()}{said[1:]}.", is_outside=False, is_target=False, places=())


def _path(origin: Origin, call: ToolCall) -> str:
    """As the lines have it, which show the arguments beside the answers to what a tool asked."""
    if call.continuation is None:
        return origin.path
    name = call.answers_name
    if name is not None and is_within(origin.path, name):
        return f"{ANSWERS}{origin.path.removeprefix(name)}"
    return f"arguments.{origin.path}"


def _on_desk(origin: Origin, value: Any, trace: Trace, call: ToolCall) -> OriginOnDesk:
    said = said_of_origin(origin, value, trace=trace, claim=call.user_request)
    return OriginOnDesk(
        said=f"{said[0].upper()}{said[1:]}.",
        is_outside=origin.is_outside,
        is_target=origin.is_target,
        places=_places(origin.found, value),
    )


def _places(found: Sequence[Found], value: Any) -> tuple[PlaceOnDesk, ...]:
    return tuple(PlaceOnDesk(one.case_id, one.tool_name, marked_value(one.passage, value)) for one in found)
