"""What a person changed in the arguments of a call: where, and whether that is theirs to change.

A place is exact: the keys and numbers that lead to it, so that no key of an agent can pass for a path.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any, NamedTuple

from atlas.canonical import LARGEST_INTEGER, NotCanonical, canonical_json, without_a_form
from atlas.errors import RequestInvalid, RuleRefuses
from atlas.models import Case, plain_text

Place = tuple[str | int, ...]

MAY_EDIT = "may_edit"  # the rule, as a refusal names it
MOST_NAMED = 5  # arguments, in a sentence
LONGEST_NAME = 60  # characters of one

_STEP = re.compile(r"\[(\d{1,6})\]|([^.\[\]]+)")
_KINDS = ((bool, "true or false"), ((int, float), "a number"), (str, "a text"), (list, "a list"))


class Missing:
    """In place of a value where there is none."""


MISSING = Missing()


class Change(NamedTuple):
    """A place in which two sets of arguments are not the same."""

    place: Place
    before: Any  # MISSING: there was nothing
    after: Any

    @property
    def path(self) -> str:
        """The place as people read it, such as `items[0].amount`."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.place)
        return "".join(steps).removeprefix(".")


class Wish(NamedTuple):
    """What a person wants to stand at a place instead of what they were shown."""

    path: str  # as the policy names the place
    place: Place
    value: Any


def shown_value(value: Any) -> Any:
    """A value as JSON has it: null where there is none."""
    return None if isinstance(value, Missing) else value


def place_of(path: str) -> Place:
    """The place that a path of the policy names, written as a trace writes it."""
    return tuple(int(number) if number else name for number, name in _STEP.findall(path))


def value_at(arguments: Any, place: Place) -> Any:
    """What stands at a place; MISSING: nothing."""
    value: Any = arguments
    for step in place:
        if isinstance(step, int):
            there = isinstance(value, list) and step < len(value)
        else:
            there = isinstance(value, dict) and step in value
        if not there:
            return MISSING
        value = value[step]
    return value


def with_value(arguments: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """The arguments with another value at a place that is there; what was given stays as it is."""
    return {} if not place else _with(arguments, place, value)


def with_wishes(arguments: dict[str, Any], wishes: Sequence[Wish]) -> dict[str, Any]:
    """The arguments with all that is wanted; raises RequestInvalid where two wishes contradict each other."""
    for outer, inner in permutations(wishes, 2):
        _check_together(outer, inner)
    for wish in sorted(wishes, key=lambda wish: len(wish.place)):
        arguments = with_value(arguments, wish.place, wish.value)
    return arguments


def _check_together(outer: Wish, inner: Wish) -> None:
    depth = len(outer.place)
    if inner.place[:depth] != outer.place or is_same(value_at(outer.value, inner.place[depth:]), inner.value):
        return
    first, second = (plain_text(wish.path)[:LONGEST_NAME] for wish in (outer, inner))
    reason = f"You changed {first} and {second}, which is a part of it, in two ways. Change one of them."
    if outer.place == inner.place:
        reason = f"You changed {second} in two ways. Change it once."
    raise RequestInvalid(reason=f"{reason} Nothing was done.")


def is_same(value: Any, other: Any) -> bool:
    """Whether two values are the same in the call; one without a canonical form is like no other."""
    if isinstance(value, Missing) or isinstance(other, Missing):
        return False
    try:
        return canonical_json(value) == canonical_json(other)
    except NotCanonical:  # it counts as a change, and the check of the changed arguments refuses it
        return False


def _with(inside: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    step, rest = place[0], place[1:]
    if isinstance(step, int):
        return [_with(item, rest, value) if number == step else item for number, item in enumerate(inside)]
    return {key: _with(item, rest, value) if key == step else item for key, item in inside.items()}


def changes_between(before: Any, after: Any, place: Place = ()) -> Iterator[Change]:
    """The places that differ, as deep as both have the same form; 1 and 1.0 are the same number."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from changes_between(before.get(key, MISSING), after.get(key, MISSING), (*place, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from changes_between(old, new, (*place, number))
    elif MISSING in (before, after) or canonical_json(before) != canonical_json(after):
        yield Change(place, before, after)


def changes_of(case: Case) -> tuple[Change, ...]:
    """What a person changed in what the agent proposed."""
    return () if case.edit is None else tuple(changes_between(case.call.arguments, case.edit.arguments))


def arguments_with(proposed: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The proposed arguments with what is wanted instead; what is the same stays as the agent wrote it.

    Raises RequestInvalid for what has no canonical form, or has another type than what stood there.
    """
    try:
        canonical_json(wanted)
        for change in changes_between(proposed, wanted):
            _check_kind(change)
        merged: dict[str, Any] = _merged(proposed, wanted)
    except NotCanonical as error:
        reason = f"These arguments have no canonical form (RFC 8785): {without_a_form(wanted)}"
        raise RequestInvalid(reason=reason) from error
    except RecursionError as error:
        raise RequestInvalid(reason="These arguments have too many levels.") from error
    return merged


def check_allowed(changes: Sequence[Change], may_edit: Sequence[str]) -> None:
    """Raise RuleRefuses unless each change is at a place that the rules name, or inside of it."""
    allowed = [place_of(path) for path in may_edit]
    others = [change for change in changes if _named(change, allowed) is None]
    if not others:
        return
    names = list(dict.fromkeys(plain_text(str(change.place[0]))[:LONGEST_NAME] for change in others))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    lets = f"lets people change {', '.join(may_edit)}" if may_edit else "lets no one change arguments"
    reason = f"The policy {lets} of this call; these differ too: {', '.join(names[:MOST_NAMED])}{more}."
    if not may_edit:
        reason = f"The policy {lets} of this call."
    raise RuleRefuses(rule=MAY_EDIT, reason=reason)


def paths_of(changes: Sequence[Change], may_edit: Sequence[str]) -> list[str]:
    """The paths of the policy under which the changes stand; no key that anyone else chose."""
    allowed = {place_of(path): path for path in may_edit}
    named = (_named(change, list(allowed)) for change in changes)
    return sorted({allowed[place] for place in named if place is not None})


def _named(change: Change, allowed: Sequence[Place]) -> Place | None:
    """The allowed place in which a change stands; a name that comes or goes has to be inside of one."""
    comes_or_goes = isinstance(change.before, Missing) or isinstance(change.after, Missing)
    inner = change.place[:-1] if comes_or_goes else change.place
    return next((place for place in allowed if place and inner[: len(place)] == place), None)


def _check_kind(change: Change) -> None:
    before, after = change.before, change.after
    if isinstance(before, Missing) or isinstance(after, Missing) or before is None:
        return
    where = plain_text(change.path)[:LONGEST_NAME]
    if kind_of(before) != kind_of(after):
        raise RequestInvalid(reason=f"{where} is {kind_of(before)}, and has to stay one. Nothing was done.")
    if _becomes_whole(before, after) and abs(after) > LARGEST_INTEGER:
        raise RequestInvalid(reason=f"{where} is beyond ±{LARGEST_INTEGER}. Nothing was done.")


def kind_of(value: Any) -> str:
    """The JSON type of a value, in words."""
    if value is None:
        return "null"
    return next((kind for types, kind in _KINDS if isinstance(value, types)), "an object")


def _merged(before: Any, after: Any) -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        names = [*(key for key in before if key in after), *(key for key in after if key not in before)]
        return {key: _merged(before[key], after[key]) if key in before else after[key] for key in names}
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [_merged(old, new) for old, new in zip(before, after, strict=True)]
    if canonical_json(before) == canonical_json(after):
        return before
    return int(after) if _becomes_whole(before, after) else after


def _becomes_whole(before: Any, after: Any) -> bool:
    """Whether 5.0 stands where the agent had a whole number; then it is written as 5."""
    return type(before) is int and isinstance(after, float) and after.is_integer()
