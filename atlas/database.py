"""The SQLite file of cases, ledger and welfare records: its tables, its migrations, its transactions."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from atlas.errors import DataDirectoryInUse

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(sa.TypeDecorator[datetime]):
    """A point in time, kept as ISO 8601 text in UTC with microseconds, so that it also sorts as text."""

    impl = sa.String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Write a datetime that knows its zone."""
        return None if value is None else instant_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Read it back, in UTC."""
        return None if value is None else datetime.fromisoformat(value.replace("Z", "+00:00"))


def instant_text(value: datetime) -> str:
    """`2026-11-23T04:51:23.000000Z`, of a datetime that knows its zone."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(timezone.utc)


class Database:
    """One file, one writer at a time; every write is on disk before it counts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "atlas.db"
        self._writer_turn = asyncio.Lock()
        self._writer: AsyncEngine
        self._reader: AsyncEngine
        self._lock_file: int | None = None

    async def open(self) -> None:
        """Take the directory for this process, bring the tables up to date, connect.

        Raises DataDirectoryInUse while another gateway holds the directory.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = lock_directory(self.directory)
        await asyncio.to_thread(migrate, self.path)
        url = f"sqlite+aiosqlite:///{self.path}"
        self._writer = create_async_engine(url, pool_size=1, max_overflow=0)
        self._reader = create_async_engine(url, pool_size=4, isolation_level="AUTOCOMMIT")
        sa.event.listen(self._writer.sync_engine, "connect", _prepare_writer)
        sa.event.listen(self._writer.sync_engine, "begin", _begin_immediate)
        sa.event.listen(self._reader.sync_engine, "connect", _prepare_reader)

    async def close(self) -> None:
        """Disconnect and give the directory back."""
        if self._lock_file is None:
            return
        await self._writer.dispose()
        await self._reader.dispose()
        os.close(self._lock_file)
        self._lock_file = None

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees and makes all of its changes at once, or none."""
        async with self._writer_turn, self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees what is committed."""
        async with self._reader.connect() as connection:
            yield connection


def lock_directory(directory: Path) -> int:
    """Hold a directory until the process ends, however it ends; returns the descriptor to close."""
    descriptor = os.open(directory / "gateway.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataDirectoryInUse(path=directory) from None
    return descriptor


def migrate(path: Path) -> None:
    """Bring the tables of a file, new or old, to the newest version."""
    path.touch(mode=0o600)
    engine = sa.create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _prepare_writer(connection: Any, entry: ConnectionPoolEntry) -> None:
    # The driver would begin transactions by itself, and too late: see _begin_immediate.
    connection.isolation_level = None
    _prepare_reader(connection, entry)
    # In WAL mode NORMAL may forget the last commits when the power fails; FULL may not.
    _pragma(connection, "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")


def _prepare_reader(connection: Any, entry: ConnectionPoolEntry) -> None:
    _pragma(connection, "busy_timeout = 5000")


def _pragma(connection: Any, *settings: str) -> None:
    cursor = connection.cursor()
    for setting in settings:
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later could otherwise find the file changed in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
