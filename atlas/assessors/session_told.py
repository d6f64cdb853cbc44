"""What a model is told of the session: where the arguments came from, and earlier calls with their answers.

All of it is masked before it is cut, because half of a secret is not recognised. A text that was masked in an
argument for its name is taken out of the answers too.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from atlas.assessors import Earlier, Question
from atlas.assessors.masking import LONGEST_KEY, LONGEST_SECRET, mask, mask_text
from atlas.assessors.prompt import CUT_NOTE, bytes_of, cut_text, room_of, size_of
from atlas.origins.leaves import every_leaf, leaves_of
from atlas.origins.results import MOST_CHARACTERS as MOST_COMPARED
from atlas.traces import NO_TRACE, Found, Origin, Trace

WINDOW = LONGEST_KEY + LONGEST_SECRET  # characters on each side of a passage that are masked with it
LONGEST_NAME = 80  # characters of a path or a tool's name, as they are written
MOST_NAMED = ((20, 3), (8, 3), (3, 2), (1, 1), (0, 0))  # arguments and places of each, as there is room
MOST_CALLS = 8
ROOMS = ((400, 200), (120, 80))  # characters of an answer, and of the arguments of a call
LONGEST_ARGUMENTS = 20_000  # characters of an earlier call that are masked and shown in part
MOST_SECRETS = 2_000  # values of all arguments that are looked at
SHORTEST_HIDDEN = 4  # characters of a secret that is taken out of other texts
HIDDEN = "[masked: it was masked in an argument]"


def is_something_told(question: Question) -> bool:
    """Whether there is a session, or a request that the client wrote, to tell of."""
    trace = question.trace or NO_TRACE
    is_found = any(origin.found or origin.is_from_user for origin in trace.origins)
    is_known = trace.is_request_known or not trace.is_complete
    return bool(question.earlier or is_found or trace.calls or trace.orders or is_known)


def session_told(question: Question, characters: int, *, beside: dict[str, Any]) -> dict[str, Any] | None:
    """JSON of at most a third of so many characters, and of what is left beside the rest of the payload.

    None where there is no room for any of it.
    """
    room = min(characters // 3, characters - sum(map(bytes_of, beside.values())))
    told = _told(question, room, bytes_of)
    left = characters - sum(map(room_of, beside.values()))
    return told if told is None or room_of(told) <= left else _told(question, min(room, left), room_of)


def _told(question: Question, room: int, size: Callable[[Any], int]) -> dict[str, Any] | None:
    trace = question.trace or NO_TRACE
    each = (_facts(trace, most, places=places) for most, places in MOST_NAMED)
    told = next((facts for facts in each if size(facts) <= room), None)
    if told is None:
        return None
    calls = _calls(question, trace, room - size(told) - len(', "earlier_calls": []'), size)
    return told | ({"earlier_calls": calls} if calls else {})


# ── Facts: nothing in them is a text that others wrote, but for names ────────────────────────────────────


def _facts(trace: Trace, most: int, *, places: int) -> dict[str, Any]:
    """What the gateway found out, of the most important arguments."""
    ranked = sorted(trace.origins, key=lambda one: (not one.is_outside, not one.is_target, not one.found))
    said: dict[str, Any] = {"calls_before": trace.calls, "has_read_from_outside": trace.read_outside}
    said["where_arguments_came_from"] = [_origin(one, trace, places) for one in ranked[:most]]
    if trace.is_request_known:
        said["user_request_is_the_users_own"] = True
        said["user_request_asks_for_such_a_deed"] = trace.is_asked
    if trace.orders:
        said["text_from_outside_gave_orders"] = [order.kind[:LONGEST_NAME] for order in trace.orders]
    if not trace.is_complete or len(trace.origins) > most:
        said["is_incomplete"] = True
    return said


def _origin(origin: Origin, trace: Trace, places: int) -> dict[str, Any]:
    request = {"in_user_request": origin.is_from_user} if trace.is_request_known else {}
    return {
        "argument": _name(origin.path),
        "is_target": origin.is_target,
        "from_outside_alone": origin.is_outside,
        "found_in_answers_of": [_place(found) for found in origin.found[:places]],
    } | request


def _place(found: Found) -> dict[str, Any]:
    told = {"tool": _name(found.tool_name), "is_outside": found.is_outside, "how": found.how.value}
    return told | ({"gives_orders": True} if found.gives_orders else {})


def _name(text: str) -> str:
    masked = mask_text(text)
    if len(text) > LONGEST_NAME and masked != text:  # what stands behind a secret may be half of another
        masked = f"{masked.partition('[masked: ')[0]}[masked: …]"
    name = masked[:LONGEST_NAME]
    while bytes_of(name) > LONGEST_NAME + len('""'):  # of characters that are written longer
        name = name[: len(name) // 2]
    return name


# ── Earlier calls: words of agents and third parties ─────────────────────────────────────────────────────


def _calls(question: Question, trace: Trace, room: int, size: Callable[[Any], int]) -> list[dict[str, Any]]:
    """Those where an argument came from and the newest, as many as there is room for, the oldest first."""
    if not question.earlier or room < min(map(sum, ROOMS)):
        return []
    secrets, chosen = _secrets(question), dict[int, dict[str, Any]]()
    for number in islice(_by_importance(question.earlier, trace), MOST_CALLS):
        told = next((one for one in _tellings(number, question, secrets) if size(one) <= room), None)
        if told is None:
            break
        chosen[number] = told
        room -= size(told) + len(", ")
    return [chosen[number] for number in sorted(chosen)]


def _by_importance(earlier: Sequence[Earlier], trace: Trace) -> Iterator[int]:
    """Where arguments or orders came from, then the newest of the same session."""
    places = {found.case_id for origin in trace.origins for found in origin.found}
    places |= {order.case_id for order in trace.orders}
    newest = range(len(earlier) - 1, -1, -1)
    first = [number for number in newest if _is_one_of(earlier[number], places)]
    return chain(first, (n for n in newest if n not in first and not earlier[n].is_other_session))


def _is_one_of(one: Earlier, places: set[str | None]) -> bool:
    return one.case_id is not None and one.case_id in places


def _tellings(number: int, question: Question, secrets: Sequence[str]) -> Iterator[dict[str, Any]]:
    """An earlier call with its answer, each time shorter."""
    one = question.earlier[number]
    answer = _masked_answer(one, _anchors(one, question), secrets)
    arguments = _written(one.arguments, secrets)
    for longest, of_arguments in ROOMS:
        yield {
            "call": number + 1,
            "tool": _name(one.tool_name),
            "arguments": cut_text(arguments, of_arguments),
            "answer": answer.cut(longest),
            "is_from_outside": one.is_outside,
        } | ({"is_of_another_session": True} if one.is_other_session else {})


def _written(arguments: dict[str, Any], secrets: Sequence[str]) -> str:
    """The masked arguments as JSON in a text."""
    size = size_of(arguments)
    if size > LONGEST_ARGUMENTS:
        return f"[… {size} {CUT_NOTE}"
    return _hidden(json.dumps(mask(arguments), ensure_ascii=False, default=str), secrets)


def _anchors(one: Earlier, question: Question) -> list[str]:
    """What is looked for in an answer, so that the part that matters is shown: orders, then values."""
    trace = question.trace or NO_TRACE
    orders = [order.passage for order in trace.orders if order.case_id == one.case_id]
    leaves, _ = leaves_of(question.arguments)
    of_value = {leaf.path: str(leaf.value) for leaf in leaves}
    found = [
        of_value.get(origin.path, "")
        for origin in trace.origins
        if any(place.case_id == one.case_id for place in origin.found)
    ]
    return [text.strip() for text in (*found, *orders) if text.strip()]


class _Masked:
    """A masked part of an answer, what is known of the rest, and where in it the part is that matters."""

    def __init__(self, text: str, tail: str, *, at: int, before: int, after: int) -> None:
        self._text, self._tail, self._at = text, tail, at
        self._before, self._after = before, after  # characters that are in neither

    def cut(self, longest: int) -> str:
        """So many characters of it; each cut says how much is missing."""
        whole = len(self._text) + len(self._tail)
        if not self._before and not self._after and whole <= longest:
            return self._text + self._tail
        begin = max(0, self._at - longest // 2)
        left_out = self._before + begin
        tail = self._tail[-longest // 4 :] if not left_out else ""
        shown = self._text[begin : begin + longest - len(tail)]
        missing = whole + self._after - begin - len(shown) - len(tail)
        before = f"[… {left_out} {CUT_NOTE}" if left_out else ""
        after = f"[… {missing} {CUT_NOTE}" if missing > 0 else ""
        return f"{before}{shown}{after}{tail}"


def _masked_answer(one: Earlier, anchors: Sequence[str], secrets: Sequence[str]) -> _Masked:
    """As much of an answer as can be shown, masked; `at` is where the first anchor stands in it."""
    result, size = one.result, len(one.result)
    place = next((at for anchor in anchors if (at := _place_of(result, anchor)) >= 0), 0)
    begin, end = max(0, place - WINDOW), min(size, place + 2 * WINDOW)
    is_whole = not one.is_partly_read or size < MOST_COMPARED
    text, before = _stretch(result, begin, end, secrets, is_whole)
    has_tail = not begin and end < size
    tail = _stretch(result, size - WINDOW, size, secrets, is_whole)[0] if has_tail else ""
    at = next((at for anchor in anchors if (at := _place_of(text, anchor)) >= 0), -1)
    if at < 0:  # it is masked itself
        at = max(0, len(_without(result[begin:place], secrets)) - before)
    after = size - end - len(tail)  # below zero where the tail begins in the text
    return _Masked(text, tail, at=at, before=begin + before, after=after)


def _stretch(text: str, begin: int, end: int, secrets: Sequence[str], is_whole: bool) -> tuple[str, int]:
    """A part of a text, masked, and how much of its beginning is missing.

    What stands at a cut is left out, up to what is masked: it may be half of a secret that is not recognised.
    The first half of a key is, the second is not. `is_whole`: the text itself is not cut at its end.
    """
    masked = _without(text[begin:end], secrets)
    first = _without(text[begin : begin + LONGEST_KEY], secrets) if begin else ""
    is_cut = end < len(text) or not is_whole
    last = _without(text[max(begin, end - LONGEST_SECRET) : end], secrets) if is_cut else ""
    before, behind = _alike(first, masked), _alike(last[::-1], masked[::-1])
    return masked[before : len(masked) - behind], before


def _alike(one: str, other: str) -> int:
    """How many characters are the same in both from the beginning on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _without(text: str, secrets: Sequence[str]) -> str:
    return mask_text(_hidden(text, secrets))


def _place_of(text: str, anchor: str) -> int:
    at = text.find(anchor)
    return at if at >= 0 else text.casefold().find(anchor.casefold())


# ── Secrets by the name of their argument ────────────────────────────────────────────────────────────────


def _secrets(question: Question) -> list[str]:
    """The texts that are masked in an argument of this call or an earlier one, the longest first."""
    everything = chain([question.arguments], (one.arguments for one in question.earlier))
    leaves = islice((leaf for arguments in everything for leaf in every_leaf(arguments)), MOST_SECRETS)
    found = {
        leaf.value
        for leaf in leaves
        if isinstance(leaf.value, str)
        and SHORTEST_HIDDEN <= len(leaf.value) <= LONGEST_SECRET
        and mask({leaf.key: leaf.value}) != {leaf.key: leaf.value}
    }
    return sorted(found, key=len, reverse=True)


def _hidden(text: str, secrets: Sequence[str]) -> str:
    """The text without these."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text
