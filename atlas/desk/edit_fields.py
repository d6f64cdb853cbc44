"""The fields in which a person changes arguments: those that the rules name, each with the type it has."""

import json
from typing import Any, NamedTuple

from starlette.datastructures import FormData

from atlas.canonical import finite_json
from atlas.errors import RequestInvalid
from atlas.models import Case, plain_text
from atlas.reviews.changing import Missing, kind_of, place_of, value_at, with_value

PREFIX = "edit:"  # before the path, in the name of a field
LONGEST = 20_000  # characters of a value that is changed in a form
LONG = 80  # characters, from which on a field has lines

_TEXT = "a text"


class Field(NamedTuple):
    """One argument as it is changed in a form."""

    path: str
    name: str
    written: str
    kind: str  # text, number, choice or json
    hint: str
    is_long: bool


def fields_of(case: Case, typed: dict[str, str] | None = None) -> tuple[Field, ...]:
    """The fields of a case that waits; `typed` is what stood in them when a form was refused."""
    ruling = case.assessment.ruling if case.assessment else None
    found = []
    for path in ruling.review.may_edit if ruling else ():
        value = value_at(case.call_in_force.arguments, place_of(path))
        if not isinstance(value, Missing) and len(written_of(value)) <= LONGEST:
            found.append(_field(path, value, (typed or {}).get(path)))
    return tuple(found)


def typed_in(form: FormData) -> dict[str, str]:
    """What stands in the fields of a form, by path."""
    pairs = ((name, value) for name, value in form.multi_items() if name.startswith(PREFIX))
    return {name.removeprefix(PREFIX): value for name, value in pairs if isinstance(value, str)}


def arguments_in(case: Case, typed: dict[str, str]) -> dict[str, Any] | None:
    """The arguments with what was typed; None: it is what stood there. Raises RequestInvalid."""
    arguments, is_changed = case.call_in_force.arguments, False
    for path, text in typed.items():
        place = place_of(path)
        before = value_at(arguments, place)
        if isinstance(before, Missing):
            raise RequestInvalid(
                reason=f"The call has no argument {plain_text(path)[:80]}. Nothing was done."
            )
        if _lines(text) == _lines(written_of(before)):  # as a browser sends back what stood there
            continue
        arguments, is_changed = with_value(arguments, place, read_value(path, text, before)), True
    return arguments if is_changed else None


def written_of(value: Any) -> str:
    """A value as it stands in a field: a text as it is, unless it holds what no field can show."""
    return value if _is_plain(value) else finite_json(value)


def read_value(path: str, text: str, before: Any) -> Any:
    """What was typed, with the type that stood there; raises RequestInvalid."""
    if _is_plain(before):
        return _lines(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text if before is None else Missing()
    if isinstance(value, Missing) or (before is not None and kind_of(value) != kind_of(before)):
        where = plain_text(path)[:80]
        raise RequestInvalid(reason=f"{where} is {kind_of(before)}, and has to stay one. Nothing was done.")
    return value


def _field(path: str, value: Any, typed: str | None) -> Field:
    written = written_of(value) if typed is None else typed
    is_long = len(written) > LONG or "\n" in written
    if _is_plain(value):
        return Field(path, PREFIX + path, written, "text", _TEXT, is_long)
    if isinstance(value, bool):
        return Field(path, PREFIX + path, written, "choice", kind_of(value), False)
    if isinstance(value, int | float):
        return Field(path, PREFIX + path, written, "number", kind_of(value), False)
    return Field(path, PREFIX + path, written, "json", f"{kind_of(value)}, as JSON", True)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and all(part.isprintable() for part in value.split("\n"))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
