"""What is known of a person beside the way in, for every way: groups, languages, hours, how they are told."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database.statements import Prepared
from atlas.frozen import Frozen
from atlas.instants import read_instant
from atlas.models import as_seen
from atlas.people.tables import people, profiles
from atlas.review_rules import GROUP, group_of

ENDED = "The access of {name} was ended. `python -m atlas.people add {name}` begins it again."


class Profile(Frozen):
    """A person, as the store knows one; a name of which it knows nothing has an empty one."""

    name: str
    groups: tuple[str, ...] = ()  # of the account, of the key, and of the last sign-in at a provider
    own_groups: tuple[str, ...] = ()  # those of them that are kept here, and not by a provider
    languages: tuple[str, ...] = ()  # BCP 47 tags, the best first
    zone: str | None = None  # of the IANA database, such as Europe/Berlin; None: UTC
    working_hours: str | None = None  # as atlas/people/records/hours.py reads them; None: always
    quiet_hours: str | None = None  # the same form; None: never
    channels: tuple[str, ...] | None = None  # None: by every way there is
    browsers: tuple[str, ...] = ()  # the endpoints by which they are called, where these are asked for
    digest: str | None = None  # how often notices that can wait are put together; None: at once
    has_account: bool = False  # an account, or a person whom a provider or a proxy sent
    has_key: bool = False  # a key of ATLAS_REVIEWER_KEY, at the last start of the gateway
    is_kept: bool = False  # whether the store has noted it, so that its groups are those of the last sign-in
    ended_at: datetime | None = None

    @property
    def is_there(self) -> bool:
        """Whether the person can come in now, by any way that the store knows of."""
        return self.ended_at is None and (self.has_account or self.has_key)


_PROFILES = sa.select(profiles)
_PEOPLE = sa.select(people.c.name, people.c.groups, people.c.ended_at)
_PROFILE = Prepared(_PROFILES.where(profiles.c.person == sa.bindparam("name")))
_PERSON = Prepared(_PEOPLE.where(people.c.name == sa.bindparam("name")))
_COLUMNS = tuple(column.name for column in profiles.columns)


def profile_of(connection: Connection, name: str) -> Profile:
    """The profile of exactly this name."""
    profile = _PROFILE.first(connection, {"name": name})
    return _profile(name, profile, _PERSON.first(connection, {"name": name}))


def has_ended(connection: Connection, name: str) -> bool:
    """Whether the access of a person was ended, whichever way in it was."""
    return profile_of(connection, name).ended_at is not None


def all_profiles(connection: Connection, *, among: "sa.SelectBase | None" = None) -> dict[str, Profile]:
    """Everyone of whom the store knows, also those who have ended, by name; or those among some names."""
    of_profile, of_account = _PROFILES, _PEOPLE
    if among is not None:
        of_profile = of_profile.where(profiles.c.person.in_(among))
        of_account = of_account.where(people.c.name.in_(among))
    kept = {row.person: row for row in connection.execute(of_profile)}
    accounts = {row.name: row for row in connection.execute(of_account)}
    names = sorted(kept.keys() | accounts.keys())
    return {name: _profile(name, kept.get(name), accounts.get(name)) for name in names}


def is_named(person: Profile, entries: Collection[str]) -> bool:
    """Whether a person is among names, as they are seen, and groups."""
    groups = {group for entry in entries if (group := group_of(entry)) is not None}
    names = {as_seen(entry) for entry in entries if group_of(entry) is None}
    return as_seen(person.name) in names or not groups.isdisjoint(person.groups)


def entries_of(profile: Profile) -> tuple[str, ...]:
    """The entries of `reviewers` that mean a person; an entry that reads as a group means no one by name."""
    own = () if group_of(profile.name) is not None else (profile.name,)
    return (*own, *(GROUP + group for group in profile.groups))


def members_of(everyone: Mapping[str, Profile], group: str) -> tuple[str, ...]:
    """Those among some people who are there and belong to a group."""
    return tuple(one.name for one in everyone.values() if one.is_there and group in one.groups)


def _profile(name: str, kept: Any, account: Any) -> Profile:
    said = dict(zip(_COLUMNS, kept, strict=True)) if kept is not None else {}
    noted = tuple(json.loads(said.get("groups", "[]")))
    has_account = account is not None and account[2] is None
    own = tuple(json.loads(account[1])) if has_account else noted
    # What was ended with a profile is known by it alone: a key may have the name of a former account.
    ended_at = said["ended_at"] if said else account[2] if account is not None else None
    channels = said.get("channels")
    return Profile(
        name=name,
        groups=tuple(dict.fromkeys(own + noted)),
        own_groups=own,
        languages=tuple(json.loads(said.get("languages", "[]"))),
        zone=said.get("zone"),
        working_hours=said.get("working_hours"),
        quiet_hours=said.get("quiet_hours"),
        channels=None if channels is None else tuple(json.loads(channels)),
        digest=said.get("digest"),
        has_account=has_account,
        has_key=bool(said.get("has_key")),
        is_kept=kept is not None,
        ended_at=read_instant(ended_at) if isinstance(ended_at, str) else ended_at,
    )
