"""Delegations: while one person is away another decides for them, until a time, and it is not passed on."""

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.errors import PersonRefused
from atlas.frozen import Frozen
from atlas.instants import instant_text, now
from atlas.ledger import NO_CASE, Action
from atlas.models import as_seen
from atlas.outbox.notices import Kind, put
from atlas.people.records.profiles import profile_of
from atlas.people.tables import delegations

LONGEST = timedelta(days=366)
MOST_AT_ONCE = 20  # of one person: each case asks about all of them


class Delegation(Frozen):
    """Who decides for whom, for what, and from when until when."""

    delegation_id: str
    from_person: str
    to_person: str
    group_name: str | None  # for what this group may decide; None: for all that the person may
    begins_at: datetime
    ends_at: datetime
    made_by: str
    made_at: datetime
    ended_by: str | None = None
    ended_at: datetime | None = None

    def holds_at(self, at: datetime) -> bool:
        """Whether it holds at a moment, as far as it is known now."""
        ends_at = self.ends_at if self.ended_at is None else min(self.ends_at, self.ended_at)
        return self.begins_at <= at < ends_at

    @property
    def is_over(self) -> bool:
        """Whether it holds no more, and will not again."""
        return self.ended_at is not None or self.ends_at <= now()


def delegate(
    connection: Connection,
    from_person: str,
    to_person: str,
    *,
    actor: str,
    ends_at: datetime,
    begins_at: datetime | None = None,
    group_name: str | None = None,
) -> Delegation:
    """Let a person decide for another, from now on if not from later; raises PersonRefused."""
    at = now()
    made = Delegation(
        delegation_id=f"dlg_{secrets.token_hex(6)}",
        from_person=from_person,
        to_person=to_person,
        group_name=group_name,
        begins_at=max(begins_at or at, at),  # what was decided before was not decided for another
        ends_at=ends_at,
        made_by=actor,
        made_at=at,
    )
    _check(connection, made)
    connection.execute(delegations.insert().values(**made.model_dump()))
    _note(connection, Action.DELEGATED, made, actor=actor)
    _tell(connection, made)
    return made


def _tell(connection: Connection, made: Delegation) -> None:
    """Tell both: the one who decides, and the one for whom, unless they made it."""
    said = {
        "from": made.from_person,
        "delegate": made.to_person,
        "group": made.group_name,
        "begin": instant_text(made.begins_at),
        "until": instant_text(made.ends_at),
    }
    both = [made.from_person, made.to_person]
    put(connection, Kind.DELEGATED, to=both, by=made.made_by, content=said)


def _check(connection: Connection, made: Delegation) -> None:
    if as_seen(made.from_person) == as_seen(made.to_person):
        raise PersonRefused(reason="No one decides for themselves as a delegate. Name another person.")
    if made.ends_at <= made.begins_at:
        raise PersonRefused(reason="The delegation would end before it begins. Name a later time.")
    if made.ends_at > made.begins_at + LONGEST:
        raise PersonRefused(reason="A delegation is for a year at most. Name an earlier time.")
    giver = profile_of(connection, made.from_person)
    for profile in (giver, profile_of(connection, made.to_person)):
        if not profile.is_there:
            raise PersonRefused(
                reason=f"{profile.name} is no person who can come in here. `python -m atlas.people list` "
                "shows all of them."
            )
    given = [one for one in delegations_of(connection, [giver.name]) if one.from_person == giver.name]
    if sum(not one.is_over for one in given) >= MOST_AT_ONCE:
        reason = f"{giver.name} has {MOST_AT_ONCE} delegations. End one, then make another."
        raise PersonRefused(reason=reason)
    if made.group_name is not None and made.group_name not in giver.groups:
        raise PersonRefused(reason=f"{giver.name} is not in the group {made.group_name}.")


def end(connection: Connection, delegation_id: str, *, actor: str, only_of: str | None = None) -> Delegation:
    """End a delegation before its time; with `only_of`, only one of this person. Raises PersonRefused."""
    row = connection.execute(
        sa.select(delegations).where(delegations.c.delegation_id == delegation_id)
    ).first()
    found = None if row is None else _delegation(row)
    if found is None or (only_of is not None and found.from_person != only_of):
        raise PersonRefused(reason=f"There is no delegation {delegation_id[:20]} of yours to end.")
    if found.is_over:
        raise PersonRefused(reason=f"The delegation {delegation_id} has ended already.")
    ended = {"ended_by": actor, "ended_at": now()}
    connection.execute(
        delegations.update().where(delegations.c.delegation_id == delegation_id).values(**ended)
    )
    _note(connection, Action.DELEGATION_ENDED, found, actor=actor)
    return found.model_copy(update=ended)


def end_all_of(connection: Connection, name: str, *, actor: str) -> int:
    """End what goes on from and to a person, who leaves; returns how many there were."""
    of_person = sa.or_(delegations.c.from_person == name, delegations.c.to_person == name)
    going_on = [one for one in _read(connection, of_person) if not one.is_over]
    for one in going_on:
        end(connection, one.delegation_id, actor=actor)
    return len(going_on)


def delegations_of(connection: Connection, names: Collection[str]) -> tuple[Delegation, ...]:
    """All from or to some people, also those that are over, in the order of time."""
    among = list(names)
    return _read(connection, sa.or_(delegations.c.from_person.in_(among), delegations.c.to_person.in_(among)))


def going_on(connection: Connection) -> tuple[Delegation, ...]:
    """Those that hold now or will, in the order of time."""
    return _read(connection, sa.and_(delegations.c.ends_at > now(), delegations.c.ended_at.is_(None)))


def _read(connection: Connection, condition: "sa.ColumnElement[bool]") -> tuple[Delegation, ...]:
    order = (delegations.c.begins_at, delegations.c.delegation_id)
    rows = connection.execute(sa.select(delegations).where(condition).order_by(*order))
    return tuple(_delegation(row) for row in rows)


def _delegation(row: Any) -> Delegation:
    return Delegation(**row._mapping)


def _note(connection: Connection, action: Action, one: Delegation, *, actor: str) -> None:
    detail = {
        "delegation": one.delegation_id,
        "from": one.from_person,
        "to": one.to_person,
        "group": one.group_name,
        "begins_at": instant_text(one.begins_at),
        "ends_at": instant_text(one.ends_at),
    }
    ledger.append(connection, NO_CASE, action, actor=actor, detail=detail)
