"""What people are told of where an argument came from: each sentence is made here, and is true.

A sentence says nothing of a request that is not known, and calls the agent's claim a claim.
"""

from typing import Any, NamedTuple

from atlas.assessors.general.reading import words
from atlas.frozen import Frozen
from atlas.models import Case, ToolCall, plain_text
from atlas.origins.forms import wanted
from atlas.origins.leaves import leaves_of
from atlas.origins.values import find, says
from atlas.reviews.changing import changes_of
from atlas.traces import Found, How, Order, Origin, Trace

LONGEST_CLAIM = 80  # characters of what the agent says that the user asked for
LONGEST_COMPARED = 4_000  # characters of it; of a longer one nothing is said
LONGEST_PATH = 200  # characters
LONGEST_MARKED = 1_000  # characters of a value that can stand whole in a passage
UNSEEN = object()  # in place of a value that is not found again
UNKNOWN = "Where the arguments came from is not on record."
FIRST = "The agent made no call before this one in its session."
PARTLY = "Not all that the agent read before could be compared, so that more can have come from there."

_READS = frozenset(("read", "get", "fetch", "open", "show", "view"))
_NOUNS = {"email": "mail", "mail": "mail", "page": "page", "webpage": "page", "website": "page"} | {
    name: name for name in ("file", "message", "ticket", "issue", "document")
}
_HOW = {
    How.EXACT: "came from {what}",
    How.NORMALISED: "came from {what}, where it is written in another way",
    How.ASSEMBLED: "has parts that stand in {what}",
    How.QUOTED: "repeats a passage of {what}",
    How.DECODED: "came from {what} and is encoded in one of the two places",
}
_A_PART = "is a part of a value in {what}"  # the next argument is the other one
_DECODED_THERE = "came from {what}, where it is encoded"
_DECODED_HERE = "came from {what} and is encoded in this call"
_ORDERS = {
    "instruction": "gives the agent instructions",
    "authority": "claims authority over the agent",
    "marker": "imitates the form of a chat with the agent",
    "urgency": "puts the agent under pressure",
    "hidden": "holds something that people do not see",
}


class OriginShown(Frozen):
    """Where one leaf of the arguments came from, with the sentence on it."""

    path: str
    said: str  # a sentence, plain text; it can hold words of the agent
    is_target: bool
    is_outside: bool  # it came from outside alone
    is_from_user: bool
    is_made: bool  # it stands nowhere else
    found: tuple[Found, ...]


class OrderShown(Order):
    """A passage from outside that speaks to the agent, with the sentence on it."""

    said: str


class TraceShown(Frozen):
    """A trace as people read it."""

    said: tuple[str, ...]  # of the whole
    origins: tuple[OriginShown, ...]
    orders: tuple[OrderShown, ...]
    deed: str
    calls: int
    read_outside: bool
    is_request_known: bool
    is_asked: bool
    is_complete: bool
    has_target_from_outside: bool


def shown_trace(trace: Trace, call: ToolCall, *, case: Case | None = None) -> TraceShown:
    """The trace of a call with its sentences; its case says what a person changed in it."""
    values, given = values_of(trace, call), given_by_person(trace, case)
    return TraceShown(
        said=said_of_all(trace),
        origins=tuple(
            _given(one, case) if is_given and case else _origin(one, value, trace, call)
            for one, value, is_given in zip(trace.origins, values, given, strict=True)
        ),
        orders=tuple(OrderShown(**order.model_dump(), said=said_of_order(order)) for order in trace.orders),
        deed=trace.deed,
        calls=trace.calls,
        read_outside=trace.read_outside,
        is_request_known=trace.is_request_known,
        is_asked=trace.is_asked,
        is_complete=trace.is_complete,
        has_target_from_outside=trace.has_target_from_outside,
    )


def values_of(trace: Trace, call: ToolCall) -> list[Any]:
    """The value of each origin, or UNSEEN; by its place, because two leaves can have the same path."""
    leaves = leaves_of(call.with_answers(call.arguments))[0][
        : len(trace.origins)
    ]  # those beyond a limit have no origin
    if [leaf.path for leaf in leaves] != [origin.path for origin in trace.origins]:
        return [UNSEEN] * len(trace.origins)  # the tool takes the arguments in another form
    return [leaf.value for leaf in leaves]


def given_by_person(trace: Trace, case: Case | None) -> list[bool]:
    """Of each origin, whether a person gave the value in place of the agent's."""
    if case is None or case.edit is None:
        return [False] * len(trace.origins)
    changed = {change.path for change in changes_of(case)}
    return [any(is_within(origin.path, path) for path in changed) for origin in trace.origins]


def is_within(path: str, other: str) -> bool:
    """Whether a path leads to the same place as another one, or further."""
    return path == other or path.startswith((f"{other}.", f"{other}["))


def said_of_given(case: Case) -> str:
    """What is said of a value that a person gave."""
    return (
        f"was given by {plain_text(case.edit.edited_by) if case.edit else 'a person'}, and not by the agent"
    )


def said_of_origin(origin: Origin, value: Any, *, trace: Trace, claim: str | None) -> str:
    """What is said of one leaf of the arguments; `claim` is what the agent says that the user asked for."""
    places = tuple(_said_of_place(found, value) for found in origin.found)
    if origin.is_from_user:
        also = f"; it also {places[0]}" if places else ""
        return f"came from the user's request{also}"
    if not places:
        return f"{_said_of_made(origin, value, trace)}{_of_claim(origin, value, trace, claim)}"
    request = "; the user's request does not name it" if trace.is_request_known else ""
    return f"{'; it also '.join(places)}{request}{_of_claim(origin, value, trace, claim)}"


def said_of_order(order: Order) -> str:
    """The sentence on a passage from outside that speaks to the agent."""
    where = f" ({order.case_id})" if order.case_id else ""
    return f"Text from outside that the agent read{where} {_ORDERS.get(order.kind, 'speaks to the agent')}."


def what_returned(tool_name: str) -> str:
    """`the mail that read_email returned`; where the name does not say so, `what read_inbox returned`."""
    verb, noun = ["", "", *words(tool_name)][-2:]
    named = f"the {_NOUNS[noun]} that" if verb in _READS and noun in _NOUNS else "what"
    return f"{named} {plain_text(tool_name)} returned"


class Marked(NamedTuple):
    """A passage in three parts; the value is empty where it does not stand there letter by letter."""

    before: str
    value: str
    after: str


def marked_value(passage: str, value: Any) -> Marked:
    """Where in a passage the value stands."""
    written = value if isinstance(value, str) else str(value)
    wanted = plain_text(written).strip() if len(written) <= LONGEST_MARKED else ""
    at = passage.find(wanted)
    folded, folded_wanted = passage.casefold(), wanted.casefold()
    if at < 0 and len(folded) == len(passage) and len(folded_wanted) == len(wanted):
        at = folded.find(folded_wanted)
    if at < 0 or not wanted:
        return Marked(passage, "", "")
    return Marked(passage[:at], passage[at : at + len(wanted)], passage[at + len(wanted) :])


def _origin(origin: Origin, value: Any, trace: Trace, call: ToolCall) -> OriginShown:
    said = said_of_origin(origin, value, trace=trace, claim=call.user_request)
    return OriginShown(
        path=origin.path,
        said=f"{plain_text(origin.path)[:LONGEST_PATH]}: {said}.",
        is_target=origin.is_target,
        is_outside=origin.is_outside,
        is_from_user=origin.is_from_user,
        is_made=origin.is_made and _is_compared(origin, value),
        found=origin.found,
    )


def _given(origin: Origin, case: Case) -> OriginShown:
    return OriginShown(
        path=origin.path,
        said=f"{plain_text(origin.path)[:LONGEST_PATH]}: {said_of_given(case)}.",
        is_target=origin.is_target,
        is_outside=False,
        is_from_user=False,
        is_made=False,
        found=(),
    )


def _said_of_place(found: Found, value: Any) -> str:
    where = f" ({found.case_id})" if found.case_id else ""
    session = " in another session of the agent" if found.is_other_session else ""
    said = _how_it_stood(found, value).format(what=f"{what_returned(found.tool_name)}{where}{session}")
    return f"{said}{', in a passage that speaks to the agent' if found.gives_orders else ''}"


def _how_it_stood(found: Found, value: Any) -> str:
    """The words for it; the passage says which of two ways it is, where it holds all of the value."""
    if value is UNSEEN:
        return _HOW[found.how]
    if found.how is How.ASSEMBLED and str(value).strip().casefold() in found.passage.casefold():
        return _HOW[found.how] if find(value, found.passage) else _A_PART
    if found.how is How.DECODED and (place := find(value, found.passage)):
        return _DECODED_HERE if place.how is How.DECODED else _DECODED_THERE
    return _HOW[found.how]


def _said_of_made(origin: Origin, value: Any, trace: Trace) -> str:
    """What is said of a value that was found nowhere; without a known request, the user can have said it."""
    if not _is_compared(origin, value):
        return "was not compared: it is too short or too common to say where it came from"
    if trace.is_request_known and trace.is_complete:
        return "was made by the agent: neither what it read before nor the user's request names it"
    request = " or in the user's request" if trace.is_request_known else ""
    return f"was not found in what the agent read before{request}"


def _of_claim(origin: Origin, value: Any, trace: Trace, claim: str | None) -> str:
    """What the agent says of the request, where it matters and the value can be compared with it."""
    matters = origin.is_target or origin.is_outside
    if trace.is_request_known or not claim or not matters or len(claim) > LONGEST_COMPARED:
        return ""
    looked_for = None if value is UNSEEN or not origin.is_traced else wanted(value)
    if looked_for is None:
        return ""
    shown = plain_text(claim)
    cut = f"{shown[:LONGEST_CLAIM]}…" if len(shown) > LONGEST_CLAIM else shown
    names = "names it" if says(looked_for, claim) else "does not name it"
    return f"; the agent says that the user asked “{cut}”, which {names}"


def _is_compared(origin: Origin, value: Any) -> bool:
    """Whether the value was looked for; older records say so of each value."""
    return origin.is_traced and (value is UNSEEN or wanted(value) is not None)


def said_of_all(trace: Trace) -> tuple[str, ...]:
    """What is said of a trace as a whole."""
    said = [] if trace.calls else [FIRST]
    return (*said, *(() if trace.is_complete else (PARTLY,)))
