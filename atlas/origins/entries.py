"""Whether a call takes only entries of its own server along, such as a member or a channel that it listed.

An entry is what a call acts on that was a field of its own wherever it was read, never words that someone
wrote. Only a call that can be taken back has entries. An account and a link are none; an address is one only
where the call writes to it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from atlas.assessors import Earlier, Question
from atlas.assessors.general.fit import NO_NAME
from atlas.assessors.general.session import is_field
from atlas.assessors.general.signs import ADDRESS, IDENTIFIER
from atlas.traces import Found, Origin

CAN_BE_TAKEN_BACK = frozenset(("sends", "schedules", "creates", "changes", "stops"))
TO_ADDRESSES = frozenset(("sends", "schedules", "creates"))

_FIGURES = re.compile(r"\S*(?:\d\S*){3}")  # a number, a code or a reference


class Place(NamedTuple):
    """Where a value stood, and in which answer."""

    found: Found
    answer: Earlier


class Taken(NamedTuple):
    """A value of the call, and all places where it stood before."""

    value: Any
    origin: Origin
    places: Sequence[Place]


def takes_only_entries(taken: Iterable[Taken], question: Question, *, deed: str) -> bool:
    """Whether all that a call takes along of what was read are entries of the server that it is about."""
    if question.tool.upstream is None or deed not in CAN_BE_TAKEN_BACK:
        return False
    return all(
        one.origin.is_from_user
        or (_is_entry(one, question, deed) if one.places else not _has_figures(one.value, question))
        for one in taken
    )


def _is_entry(one: Taken, question: Question, deed: str) -> bool:
    if not one.origin.is_target:
        return False
    value = str(one.value)
    address = ADDRESS.search(value)
    if IDENTIFIER.search(value) or (address is not None and not (address[1] and deed in TO_ADDRESSES)):
        return False
    return all(
        found.upstream == question.tool.upstream
        and not found.is_other_session
        and not found.gives_orders
        and is_field(found, value, answer.result)
        for found, answer in one.places
    )


def _has_figures(value: Any, question: Question) -> bool:
    """Whether a text has figures among its words that the request does not have: they can have been read."""
    if not isinstance(value, str) or NO_NAME.fullmatch(value):
        return False
    known = (question.user_request or "").split()
    return not set(_FIGURES.findall(value)) <= set(known)
