"""Sessions at the desk, kept in the store: a browser holds an opaque id, and the store its SHA-256.

A session may be bound to a secret of the settings, such as a reviewer's key: its id is hashed together with
that, so the session is not found any more when the secret has gone.
"""

import json
import secrets
from collections.abc import Collection, Iterable
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from atlas import ledger
from atlas.database.database import Database
from atlas.instants import now
from atlas.ledger import NO_CASE, Action
from atlas.models import Frozen
from atlas.people.lasting import IDLE, LONGEST, SEEN_EACH
from atlas.people.person import Person, Way
from atlas.people.tables import desk_sessions, people

UNBOUND = b""
IN_PEOPLE = tuple(way.value for way in (Way.ACCOUNT, Way.OIDC, Way.PROXY))  # and end as the person does


class Session(Frozen):
    """One browser of one person, as long as it lasts."""

    session_sha256: str
    person: Person
    form_token: str  # what each form of its pages carries
    began_at: datetime
    last_seen_at: datetime
    bound_to: bytes = UNBOUND


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, person: Person, *, bound_to: bytes = UNBOUND) -> str:
        """Begin a session, and return the id for the cookie; what is over is deleted."""
        session_id = secrets.token_urlsafe(32)
        await self._database.write(
            lambda connection: begin(connection, session_id, person, bound_to=bound_to)
        )
        return session_id

    async def find(
        self, session_id: str, *, bindings: Iterable[bytes] = (UNBOUND,), counts: bool = True
    ) -> Session | None:
        """The session of an id, if it goes on; that it was seen is written once a minute, if it counts."""
        digests = {digest_of(session_id, bound_to): bound_to for bound_to in bindings}
        found = await self._database.read(lambda connection: read(connection, digests))
        if found is not None and counts and now() - found.last_seen_at >= SEEN_EACH:
            await self._note_seen(found.session_sha256)
        return found

    async def that_last(self, digests: Collection[str]) -> frozenset[str]:
        """Which of some sessions go on, by what the store keeps of their ids; asking renews none."""
        mine = sa.select(desk_sessions.c.session_sha256).where(
            desk_sessions.c.session_sha256.in_(digests), _lasts(now())
        )
        return frozenset(await self._database.read(lambda connection: connection.scalars(mine).all()))

    async def _note_seen(self, session_sha256: str) -> None:
        seen = _of(session_sha256).values(last_seen_at=now())
        try:
            await self._database.write_ahead(lambda connection: connection.execute(seen).rowcount)
        except SQLAlchemyError:  # the page is shown all the same; the session only ends the earlier
            return

    async def end(self, session_id: str, *, bindings: Iterable[bytes] = (UNBOUND,)) -> None:
        """End the session of an id; nothing where there is none."""
        digests = {digest_of(session_id, bound_to): bound_to for bound_to in bindings}
        await self._database.write(lambda connection: end(connection, digests))

    async def end_all(self, name: str) -> int:
        """End all sessions of a name, at the word of the person; returns how many went on."""
        return await self._database.write(lambda connection: end_all(connection, name, actor=name))

    async def end_all_of(self, person: Person) -> int:
        """The same for one who came in this way: a name that is not checked ends no checked one's."""
        return await self._database.write(
            lambda connection: end_all(connection, person.name, actor=person.name, of=person)
        )

    async def of(self, person: Person) -> tuple[Session, ...]:
        """The sessions of a person that go on, the newest first."""
        return await self._database.read(lambda connection: _all_of(connection, person))


def digest_of(session_id: str, bound_to: bytes = UNBOUND) -> str:
    """What the store keeps in place of an id: it cannot be turned into a cookie again."""
    return sha256(session_id.encode() + b"\0" + bound_to).hexdigest()


def begin(connection: Connection, session_id: str, person: Person, *, bound_to: bytes = UNBOUND) -> None:
    """Write a new session, delete what is over, and note who signed in."""
    at = now()
    connection.execute(desk_sessions.delete().where(sa.not_(_lasts(at))))
    connection.execute(
        desk_sessions.insert().values(
            session_sha256=digest_of(session_id, bound_to),
            person=person.name,
            groups=json.dumps(person.groups),
            way=person.way.value,
            is_signed=person.is_signed,
            form_token=secrets.token_urlsafe(32),
            began_at=at,
            last_seen_at=at,
        )
    )
    if person.way is not Way.OPEN:  # where no one signs in
        detail = {"way": person.way.value, "is_signed": person.is_signed}
        ledger.append(connection, NO_CASE, Action.SIGNED_IN, actor=person.name, detail=detail, at=at)


def read(connection: Connection, digests: dict[str, bytes]) -> Session | None:
    """The session that one of these digests is of, unless it is over or its person's account has ended."""
    found = sa.select(desk_sessions, people.c.groups.label("groups_now"), people.c.name.label("account"))
    found = found.join_from(
        desk_sessions,
        people,
        sa.and_(people.c.name == desk_sessions.c.person, people.c.ended_at.is_(None)),
        isouter=True,
    ).where(desk_sessions.c.session_sha256.in_(digests), _lasts(now()))
    row = connection.execute(found).first()
    if row is None or (row.way in IN_PEOPLE and row.account is None):
        return None
    return _session(row, digests[row.session_sha256])


def end(connection: Connection, digests: Iterable[str]) -> None:
    """End the session that one of these digests is of, and note who signed out."""
    mine = sa.and_(desk_sessions.c.session_sha256.in_(list(digests)), desk_sessions.c.ended_at.is_(None))
    row = connection.execute(sa.select(desk_sessions.c.person, desk_sessions.c.way).where(mine)).first()
    if row is None:
        return
    connection.execute(desk_sessions.update().where(mine).values(ended_at=now()))
    if row.way != Way.OPEN.value:
        ledger.append(connection, NO_CASE, Action.SIGNED_OUT, actor=row.person, detail={"way": row.way})


def end_all(connection: Connection, name: str, *, actor: str, of: Person | None = None) -> int:
    """End the sessions of a name that go on, and note who said so; returns how many there were."""
    mine = [desk_sessions.c.person == name, _lasts(now())]
    if of is not None:
        mine.append(desk_sessions.c.is_signed == of.is_signed)
    ended = connection.execute(desk_sessions.update().where(*mine).values(ended_at=now())).rowcount
    if ended:
        detail = {"person": name, "sessions": ended}
        ledger.append(connection, NO_CASE, Action.SESSIONS_ENDED, actor=actor, detail=detail)
    return int(ended)


def _all_of(connection: Connection, person: Person) -> tuple[Session, ...]:
    mine = (desk_sessions.c.person == person.name, desk_sessions.c.is_signed == person.is_signed)
    rows = connection.execute(
        sa.select(desk_sessions)
        .where(*mine, _lasts(now()))
        .order_by(desk_sessions.c.began_at.desc(), desk_sessions.c.session_sha256)
    )
    return tuple(_session(row, UNBOUND) for row in rows)


def _lasts(at: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        desk_sessions.c.ended_at.is_(None),
        desk_sessions.c.last_seen_at > at - IDLE,
        desk_sessions.c.began_at > at - LONGEST,
    )


def _of(session_sha256: str) -> sa.Update:
    return desk_sessions.update().where(desk_sessions.c.session_sha256 == session_sha256)


def _session(row: "Row[tuple[object, ...]]", bound_to: bytes) -> Session:
    groups = getattr(row, "groups_now", None) if row.way == Way.ACCOUNT.value else None
    person = Person(
        name=row.person,
        groups=tuple(json.loads(groups or row.groups)),
        way=Way(row.way),
        is_signed=row.is_signed,
    )
    return Session(
        session_sha256=row.session_sha256,
        person=person,
        form_token=row.form_token,
        began_at=row.began_at,
        last_seen_at=row.last_seen_at,
        bound_to=bound_to,
    )
