"""Changes of what is known of a person, for every way in. Each act is an entry of the ledger."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.database.dialects import insert_of
from atlas.errors import PersonRefused
from atlas.instants import now
from atlas.ledger import NO_CASE, Action
from atlas.outbox.addresses import is_address
from atlas.people import sessions
from atlas.people.accounts import accounts
from atlas.people.accounts.accounts import check_text
from atlas.people.passkeys.keys import end_all_of
from atlas.people.records import delegations
from atlas.people.records.hours import spans_of, zone_of
from atlas.people.records.profiles import Profile, all_profiles, profile_of
from atlas.people.tables import people, profiles
from atlas.settings.as_written import Duration

LISTS = ("groups", "languages", "channels")
SETTABLE = (*LISTS, "zone", "working_hours", "quiet_hours", "digest")
MOST_ENTRIES = 50  # of a list
LONGEST_ENTRY = 500


def require(connection: Connection, name: str, keys: Collection[str] = ()) -> Profile:
    """The profile of a person who can come in, by exactly this name; raises PersonRefused."""
    profile = profile_of(connection, name)
    if profile.is_there or (name in keys and profile.ended_at is None):
        return profile
    state = "has ended" if profile.ended_at is not None else "is not known here"
    raise PersonRefused(
        reason=f"The person {name[: accounts.LONGEST_NAME]} {state}. `python -m atlas.people list` shows "
        "all of them."
    )


def change(
    connection: Connection, name: str, changes: Mapping[str, Any], *, actor: str, keys: Collection[str] = ()
) -> Profile:
    """Change some of groups, languages, zone, hours, channels and digest; raises PersonRefused.

    Groups are those that are kept here; those of a provider are what it said at the last sign-in.
    """
    before = require(connection, name, keys)
    for key, value in changes.items():
        _check(key, value)
    row = {key: _text(key, value) for key, value in changes.items()}
    if "groups" in row and before.has_account:
        groups = row.pop("groups")
        connection.execute(people.update().where(people.c.name == name).values(groups=groups))
    _upsert(connection, name, row)
    after = profile_of(connection, name)
    told = {key: _told(before, after, key) for key in changes if _is_other(before, after, key)}
    if told:
        detail = {"person": name, "changed": told}
        ledger.append(connection, NO_CASE, Action.PROFILE_CHANGED, actor=actor, detail=detail)
    return after


def end(connection: Connection, name: str, *, actor: str, keys: Collection[str] = ()) -> int:
    """End a person: account, sessions, delegations and passkeys; returns how many sessions went on.

    A key stays in the settings, and lets no one in any more. Raises PersonRefused.
    """
    profile = profile_of(connection, name)
    if not profile.is_kept or profile.ended_at is not None:  # one whose key is gone can be ended too
        profile = require(connection, name, keys)
    _upsert(connection, name, {"ended_at": now()})
    delegations.end_all_of(connection, name, actor=actor)
    end_all_of(connection, name, actor=actor)
    if profile.has_account:
        return accounts.end(connection, name, actor=actor)
    ledger.append(connection, NO_CASE, Action.PERSON_ENDED, actor=actor, detail={"person": name})
    return sessions.end_all(connection, name, actor=actor)


def begin_again(connection: Connection, name: str, *, actor: str) -> None:
    """Let the holder of a key in again whose access was ended; raises PersonRefused."""
    if profile_of(connection, name).ended_at is None:
        raise PersonRefused(reason=f"{name} has a key in ATLAS_REVIEWER_KEY, and can come in with it.")
    _upsert(connection, name, {"ended_at": None, "groups": "[]"})
    detail = {"person": name, "groups": [], "again": True}
    ledger.append(connection, NO_CASE, Action.PERSON_ADDED, actor=actor, detail=detail)


def note_groups(connection: Connection, name: str, groups: Collection[str]) -> None:
    """Keep what a provider or a proxy says of a person's groups."""
    _upsert(connection, name, {"groups": json.dumps(list(groups))})


def read_groups(connection: Connection, name: str) -> tuple[str, ...] | None:
    """What was kept of that; None: nothing yet."""
    kept = connection.execute(sa.select(profiles.c.groups).where(profiles.c.person == name)).scalar()
    return None if kept is None else tuple(json.loads(kept))


def note_keys(connection: Connection, names: Collection[str]) -> None:
    """Keep who has a key with a name, so that a rule that asks for all people finds them."""
    known = {profile.name for profile in all_profiles(connection).values() if profile.has_key}
    for name in sorted(set(names) - known):
        _upsert(connection, name, {"has_key": True})
    for name in sorted(known - set(names)):
        _upsert(connection, name, {"has_key": False})


def _upsert(connection: Connection, name: str, values: Mapping[str, Any]) -> None:
    row = {"person": name, "groups": "[]", "languages": "[]", "changed_at": now()} | dict(values)
    changed = dict(values) | {"changed_at": row["changed_at"]}
    statement = insert_of(connection, profiles).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["person"], set_=changed))


def _check(key: str, value: Any) -> None:
    if key not in SETTABLE:
        raise PersonRefused(reason=f"A person has {', '.join(SETTABLE)}, and no {key}.")
    if key in LISTS:
        return _check_list(key, value or ())
    if value is None:
        return None
    try:
        _read(key, value)
    except (ValueError, ValidationError):
        wanted = {"zone": "a zone such as Europe/Berlin", "digest": "a duration such as 1h"}
        said = wanted.get(key, "hours such as `mon-fri 09:00-17:00, sat 10:00-12:00`")
        raise PersonRefused(
            reason=f"{key.replace('_', ' ')}: {value[:LONGEST_ENTRY]} is not {said}."
        ) from None


def _read(key: str, value: str) -> None:
    if key == "zone":
        zone_of(value)
    elif key == "digest":
        TypeAdapter(Duration).validate_python(value)
    else:
        spans_of(value)


def _check_list(key: str, entries: Collection[str]) -> None:
    if len(entries) > MOST_ENTRIES:
        raise PersonRefused(reason=f"{key}: at most {MOST_ENTRIES} of them.")
    for entry in entries:
        if key == "groups":
            check_text(entry)
        elif not entry or len(entry) > LONGEST_ENTRY:
            raise PersonRefused(reason=f"{key}: each has 1 to {LONGEST_ENTRY} characters.")
        elif key == "channels" and "://" in entry and not is_address(entry):
            raise PersonRefused(reason="channels: one of the URLs is none. Nothing was changed.")


def _text(key: str, value: Any) -> str | None:
    if key not in LISTS or value is None:
        return None if value is None else str(value)
    return json.dumps(list(dict.fromkeys(value)))


def _is_other(before: Profile, after: Profile, key: str) -> bool:
    return bool(getattr(before, key) != getattr(after, key))


def _told(before: Profile, after: Profile, key: str) -> Any:
    """What the ledger says of a change; a channel can hold a secret, so that only their number is told."""
    if key == "channels":
        return {"number": None if after.channels is None else len(after.channels)}
    return {"before": getattr(before, key), "after": getattr(after, key)}
