"""The fields in which a person changes arguments: those that the rules name, each with the type it has."""

from typing import Any, NamedTuple

from starlette.datastructures import FormData

from atlas.desk.seen import exact_json, is_plain
from atlas.errors import RequestInvalid
from atlas.models import Case, plain_text
from atlas.reviews.changing import Missing, Wish, is_same, kind_of, place_of, value_at, with_wishes
from atlas.reviews.exact import Inexact, read_exactly

PREFIX = "edit:"  # before the path, in the name of a field
LONGEST = 20_000  # characters of a value that is changed in a form
LONG = 80  # characters, from which on a field has lines

_TEXT = "a text"


class Field(NamedTuple):
    """One argument as it is changed in a form."""

    path: str
    name: str
    shown: str  # the value of the call
    written: str  # what stands in the field: the same, or what was typed
    kind: str  # text, number, choice or json
    hint: str
    is_long: bool


class Typed(NamedTuple):
    """What stood in the fields of a form that was sent."""

    round_number: int  # of the page
    texts: dict[str, str]  # by path


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


def arguments_in(shown: dict[str, Any], typed: dict[str, str]) -> dict[str, Any] | None:
    """The shown arguments with what was typed instead; None: nothing was. Raises RequestInvalid."""
    wishes = [wish for path, text in typed.items() if (wish := _wish(shown, path, text)) is not None]
    return with_wishes(shown, wishes) if wishes else None


def dropped_of(shown: dict[str, Any], typed: Typed) -> list[tuple[str, str]]:
    """The paths and texts that a person changed in the fields of another round, where that was shown."""
    values = ((path, text, value_at(shown, place_of(path))) for path, text in typed.texts.items())
    return [
        (path, text)
        for path, text, value in values
        if not isinstance(value, Missing) and not _is_as_shown(text, value)
    ]


def _is_as_shown(text: str, value: Any) -> bool:
    """Whether a field came back as a browser sends what stood there."""
    return _lines(text) == _lines(written_of(value))


def _wish(shown: dict[str, Any], path: str, text: str) -> Wish | None:
    """What a person wants at a place; None: what stood there."""
    place = place_of(path)
    before = value_at(shown, place)
    if isinstance(before, Missing):
        raise RequestInvalid(reason=f"The call has no argument {plain_text(path)[:80]}. Nothing was done.")
    if _is_as_shown(text, before):
        return None
    value = read_value(path, text, before)
    return None if is_same(value, before) else Wish(path, place, value)


def written_of(value: Any) -> str:
    """A value as it stands in a field: a text as it is, and JSON for what no field shows as it is."""
    return value if _is_plain(value) else exact_json(value)


def read_value(path: str, text: str, before: Any) -> Any:
    """What was typed, with the type that stood there; raises RequestInvalid."""
    if _is_plain(before):
        return _lines(text)
    where = plain_text(path)[:80]
    try:
        value = read_exactly(text)
    except Inexact as error:
        raise RequestInvalid(reason=f"{where}: {error} Nothing was done.") from error
    except (ValueError, RecursionError):  # no JSON: a text, where any type can stand
        value = text if before is None else Missing()
    if isinstance(value, Missing) or (before is not None and kind_of(value) != kind_of(before)):
        how = ' Write it as JSON, in quotes, such as "text".' if isinstance(before, str) else ""
        raise RequestInvalid(
            reason=f"{where} is {kind_of(before)}, and has to stay one.{how} Nothing was done."
        )
    return value


def _field(path: str, value: Any, typed: str | None) -> Field:
    shown = written_of(value)
    written = shown if typed is None else typed
    kind, hint = _kind_and_hint(value)
    is_long = kind == "json" or (kind == "text" and (len(written) > LONG or "\n" in written))
    return Field(path, PREFIX + path, shown, written, kind, hint, is_long)


def _kind_and_hint(value: Any) -> tuple[str, str]:
    if _is_plain(value):
        return "text", _TEXT
    if isinstance(value, bool):
        return "choice", kind_of(value)
    if isinstance(value, int | float):
        return "number", kind_of(value)
    return "json", f"{kind_of(value)}, as JSON"


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and all(is_plain(line) for line in value.split("\n"))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
