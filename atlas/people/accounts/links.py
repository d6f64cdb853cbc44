"""Links that work once: for a first password, and for the owner who ran ./setup.sh.

A link's code stands behind `#`, so that it is in no log; the store keeps its SHA-256.
"""

import secrets
from datetime import timedelta
from enum import Enum
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.errors import LinkVoid
from atlas.instants import now
from atlas.people.lasting import ENTER_LINK, PASSWORD_LINK
from atlas.people.tables import links


class Kind(str, Enum):
    """What a link is for; its page has the same name."""

    ENTER = "enter"
    PASSWORD = "password"  # noqa: S105  (no password)


LASTS: dict[Kind, timedelta] = {Kind.ENTER: ENTER_LINK, Kind.PASSWORD: PASSWORD_LINK}
LONGEST_CODE = 100


def make(connection: Connection, kind: Kind, person: str) -> str:
    """Make a link for a person and return its code; an earlier one of the same kind is void."""
    code = secrets.token_urlsafe(24)
    void(connection, kind, person)
    connection.execute(links.delete().where(links.c.expires_at < now() - max(LASTS.values())))
    connection.execute(
        links.insert().values(
            link_sha256=_digest(code), kind=kind.value, person=person, expires_at=now() + LASTS[kind]
        )
    )
    return code


def void(connection: Connection, kind: Kind, person: str) -> None:
    """Take back the links of a person that were not used."""
    connection.execute(
        links.delete().where(links.c.person == person, links.c.kind == kind.value, links.c.used_at.is_(None))
    )


def look(connection: Connection, kind: Kind, code: str) -> str:
    """Whose a link is that can still be used; raises LinkVoid."""
    digest = _digest(code)
    row = connection.execute(
        sa.select(links).where(links.c.link_sha256 == digest, links.c.kind == kind.value)
    ).first()
    if row is None:
        raise LinkVoid(reason="This code is not known. A newer link takes the place of an older one.")
    if row.used_at is not None:
        raise LinkVoid(reason="This link was used already. Each link works once.")
    if row.expires_at <= now():
        raise LinkVoid(reason="This link is too old.")
    return str(row.person)


def use(connection: Connection, kind: Kind, code: str) -> str:
    """Whose a link is; it cannot be used again. Raises LinkVoid."""
    person = look(connection, kind, code)
    mine = links.update().where(links.c.link_sha256 == _digest(code), links.c.used_at.is_(None))
    if not connection.execute(mine.values(used_at=now())).rowcount:
        raise LinkVoid(reason="This link was used already. Each link works once.")
    return person


def _digest(code: str) -> str:
    return sha256(code[:LONGEST_CODE].encode()).hexdigest()
