"""Local accounts: who has one, and how it begins and ends. Each act is an entry of the ledger."""

import json
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.errors import PersonRefused
from atlas.instants import now
from atlas.ledger import NO_CASE, Action
from atlas.models import Frozen, plain_text
from atlas.people import sessions
from atlas.people.accounts import links
from atlas.people.tables import identities, people, profiles
from atlas.review_rules import GROUP, group_of
from atlas.settings import as_seen

OPERATOR = "operator"  # who runs a command on the machine of the gateway
LONGEST_NAME = 200


class Account(Frozen):
    """A person with an account."""

    name: str
    groups: tuple[str, ...]
    password_hash: str | None
    added_at: datetime
    ended_at: datetime | None = None


def add(connection: Connection, name: str, groups: Collection[str], *, keys: Collection[str]) -> str:
    """Add a person and return the code of the link for a first password; raises PersonRefused.

    `keys` are the names in ATLAS_REVIEWER_KEY. A name has one way in, else the record could not show who
    decided.
    """
    for text in (name, *groups):
        check_text(text)
    if as_seen(name) in {as_seen(key) for key in keys}:
        raise PersonRefused(
            reason=f"{name} looks like the name of a key in ATLAS_REVIEWER_KEY, which signs in at the desk "
            "too. Choose another name, or take the key out of .env."
        )
    other = seen_as(connection, name)
    if other is not None and (other.name != name or other.ended_at is None):
        raise PersonRefused(
            reason=f"There is a person {other.name} already, who looks the same in the record."
        )
    values = {"groups": json.dumps(list(groups)), "password_hash": None, "added_at": now(), "ended_at": None}
    if other is None:
        connection.execute(people.insert().values(name=name, seen_as=as_seen(name), **values))
    else:
        connection.execute(people.update().where(people.c.name == name).values(**values))
    # What is left of another way in under this name, such as a key of before, gives the account no group.
    connection.execute(profiles.update().where(profiles.c.person == name).values(groups="[]", ended_at=None))
    detail = {"person": name, "groups": list(groups), "again": other is not None}
    ledger.append(connection, NO_CASE, Action.PERSON_ADDED, actor=OPERATOR, detail=detail)
    return links.make(connection, links.Kind.PASSWORD, name)


def check_text(text: str) -> None:
    """Refuse a name that does not read as it is written; raises PersonRefused."""
    if not text or len(text) > LONGEST_NAME or plain_text(text) != text or text != text.strip():
        raise PersonRefused(
            reason="A name has 1 to 200 characters, none of them invisible, and no blanks around it."
        )
    if group_of(as_seen(text)) is not None:
        raise PersonRefused(
            reason=f"A name that begins with {GROUP} reads as a group in a policy. Choose another."
        )


def link(connection: Connection, name: str) -> str:
    """The code of a new link for the password of a person; raises PersonRefused."""
    _require(connection, name)
    ledger.append(connection, NO_CASE, Action.LINK_MADE, actor=OPERATOR, detail={"person": name})
    return links.make(connection, links.Kind.PASSWORD, name)


def end(connection: Connection, name: str, *, actor: str = OPERATOR) -> int:
    """End an account and its sessions; returns how many sessions went on. Raises PersonRefused."""
    _require(connection, name)
    connection.execute(
        people.update().where(people.c.name == name).values(ended_at=now(), password_hash=None)
    )
    links.void(connection, links.Kind.PASSWORD, name)
    ledger.append(connection, NO_CASE, Action.PERSON_ENDED, actor=actor, detail={"person": name})
    return sessions.end_all(connection, name, actor=actor)


def set_password(connection: Connection, code: str, password_hash: str) -> Account:
    """Use a link for a password, and end the sessions before it; raises LinkVoid, PersonRefused."""
    name = links.use(connection, links.Kind.PASSWORD, code)
    account = _require(connection, name)
    connection.execute(people.update().where(people.c.name == name).values(password_hash=password_hash))
    ledger.append(connection, NO_CASE, Action.PASSWORD_SET, actor=name, detail={"person": name})
    sessions.end_all(connection, name, actor=name)
    return account


def find(connection: Connection, name: str) -> Account | None:
    """The account of exactly this name that goes on."""
    row = connection.execute(
        sa.select(people).where(people.c.name == name, people.c.ended_at.is_(None))
    ).first()
    return None if row is None else _account(row)


def is_taken(connection: Connection, name: str) -> bool:
    """Whether a name looks like that of an account, also of one that has ended."""
    return seen_as(connection, name) is not None


def all_of_them(connection: Connection) -> tuple[Account, ...]:
    """Everyone who has or had an account, by name."""
    return tuple(_account(row) for row in connection.execute(sa.select(people).order_by(people.c.name)))


def are_there_any(connection: Connection) -> bool:
    """Whether there is any account; a person from elsewhere has none, unless a password is set."""
    has_password = people.c.password_hash.is_not(None)
    is_of_here = people.c.name.not_in(sa.select(identities.c.person))
    return bool(connection.execute(sa.select(sa.exists().where(has_password | is_of_here))).scalar())


def _require(connection: Connection, name: str) -> Account:
    account = find(connection, name)
    if account is None:
        raise PersonRefused(
            reason=f"There is no account of the name {plain_text(name)[:LONGEST_NAME]}. "
            "`python -m atlas.people list` shows all of them."
        )
    return account


def seen_as(connection: Connection, name: str) -> Account | None:
    """The account whose name a reader cannot tell from this one."""
    row = connection.execute(sa.select(people).where(people.c.seen_as == as_seen(name))).first()
    return None if row is None else _account(row)


def _account(row: "sa.Row[tuple[object, ...]]") -> Account:
    return Account(
        name=row.name,
        groups=tuple(json.loads(row.groups)),
        password_hash=row.password_hash,
        added_at=row.added_at,
        ended_at=row.ended_at,
    )
