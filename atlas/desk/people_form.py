"""The form of groups and hours: it writes what a person changed on it, and nothing that it only showed.

Another supervisor can change the same person meanwhile. What they took away does not come back with a form
that was opened before.
"""

from collections.abc import Mapping
from typing import Any

from atlas.errors import PersonRefused
from atlas.frozen import Frozen
from atlas.models import plain_text
from atlas.people.records.commands import value_of
from atlas.people.records.profiles import Profile

FIELDS = ("groups", "languages", "zone", "working_hours", "quiet_hours")
SHOWN = "shown:"  # before the name of a field: the hidden one that says what the form showed in it
LONGEST = 2000  # characters of a field
OLD_PAGE = "The form does not say what it showed. Open the page of the person again. Nothing was changed."
MEANWHILE = (
    "Another person changed the {what} of {name} while you had the page open. Nothing was changed. "
    "What is kept now stands below each field that you changed. Send the form again to replace it."
)


class Field(Frozen):
    """One field, as the page shows it."""

    text: str  # what stands in it
    kept: str  # what is kept now
    is_other: bool = False  # whether a person wrote something else into it, which is not kept


def text_of(form: Mapping[str, Any], key: str) -> str:
    """A field of a form, without blanks around it."""
    value = form.get(key)
    return plain_text(value).strip()[:LONGEST] if isinstance(value, str) else ""


def fields_of(profile: Profile, written: Mapping[str, str]) -> dict[str, Field]:
    """The fields of a person; what a person wrote into a form that was not taken stays in them."""
    return {key: _field(key, _kept(profile, key), written) for key in FIELDS}


def _field(key: str, kept: str, written: Mapping[str, str]) -> Field:
    if not _is_written(written, key) or _value(written, key) == _read(key, kept):
        return Field(text=kept, kept=kept)
    return Field(text=written[key], kept=kept, is_other=True)


def changes_in(form: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    """What a person changed on the form; raises PersonRefused where another person changed the same."""
    if any(key in form and SHOWN + key not in form for key in FIELDS):
        raise PersonRefused(reason=OLD_PAGE)
    written = {key: _value(form, key) for key in FIELDS if _is_written(form, key)}
    lost = [key for key in written if _is_kept_other(form, key, _kept(profile, key))]
    if lost:
        what = ", ".join(lost).replace("_", " ")
        raise PersonRefused(reason=MEANWHILE.format(what=what, name=profile.name))
    return written


def _is_written(form: Mapping[str, Any], key: str) -> bool:
    """Whether a person wrote into a field what the form did not show in it."""
    return key in form and _value(form, key) != _value(form, SHOWN + key)


def _is_kept_other(form: Mapping[str, Any], key: str, kept: str) -> bool:
    """Whether what is kept is neither what the form showed nor what the person wrote."""
    return _read(key, kept) not in (_value(form, SHOWN + key), _value(form, key))


def _kept(profile: Profile, key: str) -> str:
    """What is kept, as the form shows it."""
    value = profile.own_groups if key == "groups" else getattr(profile, key)
    return ", ".join(value) if isinstance(value, tuple) else value or ""


def _value(form: Mapping[str, Any], key: str) -> Any:
    return value_of(key.removeprefix(SHOWN), text_of(form, key))


def _read(key: str, kept: str) -> Any:
    """The same of what is kept: a form says it as `text_of` reads it."""
    return _value({key: kept}, key)
