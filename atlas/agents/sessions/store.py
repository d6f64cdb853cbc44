"""The open sessions on disk: whose each one is, and what its client said when it opened it."""

import json
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.agents.sessions.handshake import Handshake
from atlas.database.database import Database
from atlas.database.statements import Instant, metadata
from atlas.instants import now

FORGOTTEN_AFTER = timedelta(days=7)  # without a request
MOST_SESSIONS = 1000  # of one agent; one more, and the one that was silent for longest is forgotten
MOST_TEXT = 16_384  # characters of what one client says of itself

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_sha256", sa.String(64), primary_key=True),
    sa.Column("principal", sa.String(200), nullable=False),
    sa.Column("protocol_version", sa.String(20), nullable=False),
    sa.Column("client_info", sa.Text, nullable=False),
    sa.Column("capabilities", sa.Text, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
)
sa.Index("ix_sessions_of_agent", sessions.c.principal, sessions.c.last_seen_at)
sa.Index("ix_sessions_last_seen_at", sessions.c.last_seen_at)


class SessionStore:
    """Finds a session by its id for the agent that opened it; the id itself is not kept, only its digest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, principal: str, session_id: str, handshake: Handshake) -> bool:
        """Write a new session to the disk; False if its client says more of itself than is kept."""
        info, capabilities = json.dumps(handshake.client_info), json.dumps(handshake.capabilities)
        if len(info) + len(capabilities) > MOST_TEXT:
            return False
        row = {
            "session_sha256": _digest(session_id),
            "principal": principal,
            "protocol_version": handshake.protocol_version,
            "client_info": info,
            "capabilities": capabilities,
        }
        await self._database.write(lambda connection: _insert(connection, row))
        return True

    async def find(self, principal: str, session_id: str) -> Handshake | None:
        """What was said when the session was opened, if it is this agent's and not forgotten."""
        query = sa.select(sessions).where(
            _is(principal, session_id), sessions.c.last_seen_at >= now() - FORGOTTEN_AFTER
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return (
            None
            if row is None
            else Handshake(
                protocol_version=row.protocol_version,
                client_info=json.loads(row.client_info),
                capabilities=json.loads(row.capabilities),
            )
        )

    async def note_seen(self, principal: str, session_id: str) -> None:
        """Note that the session is in use."""
        seen = sessions.update().where(_is(principal, session_id)).values(last_seen_at=now())
        await self._database.write_ahead(lambda connection: connection.execute(seen).rowcount)

    async def forget(self, principal: str, session_id: str) -> bool:
        """Forget the session, on disk; tells whether it was this agent's."""
        forgotten = sessions.delete().where(_is(principal, session_id))
        return await self._database.write(lambda connection: connection.execute(forgotten).rowcount) > 0


def _is(principal: str, session_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(sessions.c.session_sha256 == _digest(session_id), sessions.c.principal == principal)


def _insert(connection: Connection, row: dict[str, str]) -> None:
    """Write a session, and forget those that are too old or too many."""
    moment: datetime = now()
    connection.execute(sessions.insert().values(**row, opened_at=moment, last_seen_at=moment))
    connection.execute(sessions.delete().where(sessions.c.last_seen_at < moment - FORGOTTEN_AFTER))
    of_agent = sessions.c.principal == row["principal"]
    newest_first = (
        sa.select(sessions.c.session_sha256).where(of_agent).order_by(sessions.c.last_seen_at.desc())
    )
    too_many = newest_first.offset(MOST_SESSIONS)
    connection.execute(sessions.delete().where(sessions.c.session_sha256.in_(too_many)))


def _digest(session_id: str) -> str:
    return sha256(session_id.encode()).hexdigest()
