"""What the trace of a call says for and against it: who named its targets, and what was read before."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from atlas.assessors import Earlier, Question
from atlas.assessors.general.reading import is_listed, words
from atlas.assessors.general.signs import ADDRESS, deed_named
from atlas.assessors.general.words import RECIPIENT_KEYS
from atlas.origins.leaves import leaves_of
from atlas.traces import Found, How, Origin, Trace

RECORD = re.compile(r"\s*(?:[\[{<|]|-\s|[\w\"' ]{1,40}:\s)")
BEFORE_FIELD = re.compile(r"(?:^|\w[\"']?:|[\[{|>=]|[\"'],|(?:^|\s)-)\s*[\"']?$")
AFTER_FIELD = re.compile(r"[\"']?\s*(?:$|[,\]}|<]|\s-\s|\s{2,}|\s?\w+:\s)")
SHORTEST = 3  # characters of a value that can be looked for
MOST_EARLIER = 20  # of the calls before, whose deeds count
GRAVE = frozenset(("pays", "shares", "deletes", "executes", "sends", "controls"))
WRITTEN = frozenset(
    ("target_written", "target_written_later", "target_unseen", "target_made", "ordered_value")
)
AGAINST = WRITTEN | {"target_outside"}
LASTING = frozenset(("pays", "shares", "deletes"))  # milder only where the user named the target
# What can be told only beside a request that is known.
OF_REQUEST = frozenset(("target_named", "target_made", "target_read", "target_outside"))
# What speaks for care with an address, where the trace does not say more: a contact of the house is none.
ADDRESSED = frozenset(("outside", "free_mail"))
# What is said of a claim, and is known better where the client says what the user asked for.
CLAIMED = frozenset(("unasked_deed", "unasked_recipient"))


class Target(NamedTuple):
    """A value that says to whom, where to or on what a call acts, and where it came from."""

    key: str
    value: Any
    origin: Origin


def signs_of_session(question: Question) -> set[str]:
    """The names of what can be noticed of a call beside what its agent read and did before."""
    trace = question.trace
    if trace is None:
        return set()
    seen = _orders(trace) | _done(question.earlier) | _targets(question, trace)
    if not trace.is_request_known:
        return seen - OF_REQUEST
    seen |= _asked(trace, seen)
    return seen - {"orders_read"} if "asked_and_named" in seen else seen  # no order of another led to it


def _asked(trace: Trace, seen: set[str]) -> set[str]:
    """What it means for a call that the user asked for such a deed, or did not."""
    if not trace.is_asked:
        return {"not_asked_after_outside" if trace.read_outside or trace.orders else "not_asked"}
    if seen & AGAINST:
        return set()
    if "target_named" in seen:
        return {"asked_and_named"}
    return set() if trace.deed in LASTING else {"asked"}


def named_by_user(question: Question) -> frozenset[str]:
    """The texts among the arguments that the user named, so that they give nothing away."""
    if question.trace is None or not question.trace.is_request_known:
        return frozenset()
    named = {origin.path for origin in question.trace.origins if origin.is_from_user}
    return frozenset(
        leaf.value
        for leaf in leaves_of(question.arguments)[0]
        if leaf.path in named and isinstance(leaf.value, str)
    )


def _orders(trace: Trace) -> set[str]:
    seen = {"orders_read"} if trace.orders else set()
    unnamed = [origin for origin in trace.origins if not origin.is_from_user]
    if any(found.gives_orders for origin in unnamed for found in origin.found):
        seen.add("ordered_value")
    return seen


def _done(earlier: Sequence[Earlier]) -> set[str]:
    """What the session did before: a read after a grave deed is a part of the same undertaking."""
    deeds = [deed_named(one.tool_name) for one in earlier[-MOST_EARLIER:] if not one.is_other_session]
    seen = {"did_grave_deeds"} if GRAVE.intersection(deeds) else set()
    return seen | ({"did_deeds"} if set(deeds) - GRAVE - {"reads"} else set())


def _targets(question: Question, trace: Trace) -> set[str]:
    leaves = {leaf.path: leaf for leaf in leaves_of(question.arguments)[0]}
    targets = [
        Target(leaf.key, leaf.value, origin)
        for origin in trace.origins
        if origin.is_target and (leaf := leaves.get(origin.path)) is not None
    ]
    unnamed = [target for target in targets if not target.origin.is_from_user and _says_something(target)]
    seen = {"target_named"} if targets and not unnamed else set()
    return seen | {sign for target in unnamed if (sign := _unnamed(target, question.earlier))}


def _says_something(target: Target) -> bool:
    """Whether a value can come from somewhere or refers to something: "high" and "USD" do not."""
    return bool(target.origin.found) or target.origin.is_made or _refers(target)


def _unnamed(target: Target, earlier: Sequence[Earlier]) -> str | None:
    """What it means that no request of the user names a target."""
    if target.origin.is_made:
        if any(one.is_partly_read for one in earlier):
            return "target_unseen"
        is_known = all(one.result for one in earlier) and len(str(target.value).strip()) >= SHORTEST
        return "target_made" if is_known and _refers(target) else None
    if not target.origin.found:
        return None
    texts = {(one.case_id, one.tool_name) for one in earlier if not RECORD.match(one.result)}
    written = [
        (found.case_id, found.tool_name) in texts or _is_written(found, str(target.value))
        for found in target.origin.found
    ]
    if written[0]:
        return "target_written"
    if any(written):
        return "target_written_later"
    return "target_outside" if target.origin.is_outside else "target_read"


def _refers(target: Target) -> bool:
    """Whether a value refers to something that exists, so that no agent can know it by itself."""
    return (
        is_listed(target.key, RECIPIENT_KEYS)
        or words(target.key)[-1:] in (["id"], ["ids"])
        or bool(ADDRESS.search(str(target.value)))
    )


def is_field(found: Found, value: str, text: str) -> bool:
    """Whether a value stood as a field of its own in a text, and not in words that someone wrote."""
    return RECORD.match(text) is not None and not _is_written(found, value)


def _is_written(found: Found, value: str) -> bool:
    """Whether a value stood in running text that someone wrote, not as a field of its own."""
    if found.how not in (How.EXACT, How.NORMALISED):
        return True
    value = value.strip()
    at = found.passage.lower().find(value.lower())
    if at < 0:
        return True
    before, after = found.passage[:at], found.passage[at + len(value) :]
    return BEFORE_FIELD.search(before) is None or AFTER_FIELD.match(after) is None
