"""What a reviewer's terminal changes in the arguments of a call: `--set amount=50`."""

from collections.abc import Sequence
from typing import Any

from atlas.desk.case.edit_fields import read_value
from atlas.errors import RequestInvalid
from atlas.reviews.changing import (
    Missing,
    Wish,
    changes_between,
    place_of,
    shown_value,
    value_at,
    with_wishes,
)


def changed_arguments(case: dict[str, Any], said: Sequence[str]) -> dict[str, Any] | None:
    """The arguments of a case with what was said; None: nothing was. Raises RequestInvalid."""
    arguments: dict[str, Any] = case["arguments"]
    return with_wishes(arguments, [_wish(arguments, one) for one in said]) if said else None


def _wish(arguments: dict[str, Any], said: str) -> Wish:
    path, is_there, text = said.partition("=")
    place = place_of(path)
    before = value_at(arguments, place) if place and is_there else Missing()
    if isinstance(before, Missing):
        reason = f"--set {said}: write PATH=VALUE, where PATH is an argument of the call."
        raise RequestInvalid(reason=f"{reason} Nothing was approved.")
    return Wish(path, place, read_value(path, text, before))


def changes_shown(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """The differences, as `GET /cases/{ref}` names those of an edit."""
    return [
        {"path": change.path, "before": shown_value(change.before), "after": shown_value(change.after)}
        for change in changes_between(before, after)
    ]
