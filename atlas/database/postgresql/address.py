"""The address of a PostgreSQL database, as ATLAS_DATABASE_URL says it, and connections to it."""

from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from atlas.database.postgresql.cursor import KeepingCursor
from atlas.database.postgresql.libpq import PREPARES

# A server that went away, or a network that swallows everything, is noticed after so long.
PATIENCE: dict[str, Any] = {
    "connect_timeout": 5,
    "client_encoding": "utf8",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
GATEWAY = "atlas-gateway"  # how its connections are named on the server
DRIVER = "postgresql+psycopg"


class Address:
    """A URL as libpq knows it: `postgresql://user:password@host:5432/database?sslmode=verify-full`."""

    def __init__(self, text: str) -> None:
        """Raises ValueError, a sentence without the password."""
        try:
            url = make_url(text)
        except (sa.exc.ArgumentError, ValueError):  # the latter of a port, and it repeats what was written
            raise ValueError(
                "ATLAS_DATABASE_URL is no URL, such as postgresql://atlas@db.example.org/atlas"
            ) from None
        if url.drivername not in ("postgresql", "postgres", DRIVER):
            raise ValueError(
                "ATLAS_DATABASE_URL begins with postgresql://; without it the gateway keeps a SQLite file"
            )
        query = dict(url.query)
        self.prepares = query.pop("prepare", "on") != "off"  # `off` behind PgBouncer before 1.21
        self.url = url.set(drivername=DRIVER, query=query)

    def __str__(self) -> str:
        """The address for people: where it is, and nothing secret."""
        shown = URL.create("postgresql", host=self.url.host, port=self.url.port, database=self.url.database)
        return shown.render_as_string(hide_password=True)

    async def connect(self, *, name: str) -> "psycopg.AsyncConnection[Any]":
        """A connection in autocommit mode that is no SQLAlchemy's, for what only psycopg can do."""
        url = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        named = PATIENCE | {"application_name": name}
        return await psycopg.AsyncConnection.connect(url, autocommit=True, **named)

    def engine(self, name: str = GATEWAY) -> Engine:
        """Connections in autocommit mode that keep what they commit; the server shows them under a name."""
        options = PATIENCE | {"application_name": name}
        engine = sa.create_engine(
            self.url,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            use_native_hstore=False,
            # psycopg prepares nothing: after a ROLLBACK it has the server forget what anyone prepared.
            connect_args=options | {"cursor_factory": KeepingCursor, "prepare_threshold": None},
        )
        sa.event.listen(engine, "connect", self._note_whether_it_prepares)
        return engine

    def _note_whether_it_prepares(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info[PREPARES] = self.prepares


def driver_of(connection: Connection) -> Any:
    """psycopg's connection."""
    return connection.connection.driver_connection
