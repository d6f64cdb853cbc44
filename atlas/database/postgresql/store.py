"""PostgreSQL as the store of cases, ledger and people, which several gateways share."""

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database import processes
from atlas.database.facts import Listener, noting, tell
from atlas.database.failures import note_change
from atlas.database.hints import Hints
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.libpq import PREPARES
from atlas.database.postgresql.listening import Listening
from atlas.database.postgresql.migrating import bring_up_to_date
from atlas.database.postgresql.problems import POOLED, READ_ONLY, refusing
from atlas.database.postgresql.shared_lease import SharedLease
from atlas.database.postgresql.transactions import PostgresTransactions
from atlas.database.readers import Readers
from atlas.database.sqlite.data_directory import former_process, lock_directory, make_directory, note_process
from atlas.database.statements import as_raised, is_passing
from atlas.database.writer import Change, Writer
from atlas.errors import DatabaseUnusable, ProcessGivenUp

OLDEST = 130000  # PostgreSQL 13 counts transactions in a way that can be asked for later
# Without these a commit that was acknowledged may not be on disk.
DURABLE = {"synchronous_commit": ("on", "remote_apply"), "fsync": ("on",), "server_encoding": ("UTF8",)}
NOT_DURABLE = (
    "its setting {name} is `{value}`: {wanted} is needed. Change it in postgresql.conf, then start again."
)
TAKES_CHANGES = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'"
TOO_OLD = "it is PostgreSQL {version}; the gateway needs 13 or later."

_failure = partial(as_raised, kinds=(psycopg.Error, ProcessGivenUp))

Result = TypeVar("Result")


class PostgresDatabase:
    """One database, one writer for each gateway; every write is on the server's disk before it counts."""

    kind = "postgresql"

    def __init__(self, address: Address, directory: Path, *, listen: Address | None = None) -> None:
        self._address = address
        self.directory = directory  # of this gateway alone: its engine, its keys
        self.lease = SharedLease(secrets.token_hex(8), self._connect_one)
        self.hints = Hints(is_sound=False)
        self._listening = Listening(
            listen or address, self.hints, origin=self.lease.process_id, say=self._say
        )
        self._lock_file: int | None = None
        self.problem: str | None = None  # why the last change could not be kept, in PostgreSQL's words
        self.listeners: list[Listener] = []  # hear of each change that is on disk

    @property
    def place(self) -> str:
        """The address without its password."""
        return str(self._address)

    async def open(self) -> None:
        """Take the directory for this process, bring the tables up to date, connect.

        Raises DataDirectoryInUse, DataDirectoryUnusable and DatabaseUnusable.
        """
        make_directory(self.directory)
        self._lock_file = lock_directory(self.directory)
        self._engine = self._address.engine()
        try:
            self._transactions = await asyncio.to_thread(self._connect)
        except BaseException:
            await asyncio.to_thread(self.lease.end)
            os.close(self._lock_file)
            self._lock_file = None
            raise
        # No change stays uncommitted for others to come: other gateways wait for the lock.
        self._changes = Writer(
            self._transactions, name="database-writer", failure=_failure, landed=tell, linger_seconds=0
        )
        self._readers = Readers(self._engine.connect, self._changes, loses_connections=True)
        self._listening.open()

    def _connect(self) -> PostgresTransactions:
        with refusing(self.place):
            with self._engine.connect() as connection:
                check_server(connection, self.place)
            bring_up_to_date(self._engine, self.place)
            # It holds the directory, so the process before it is dead: no one has to wait for that one.
            self.lease.begin(former=former_process(self.directory))
            note_process(self.directory, self.lease.process_id)
            alive = processes.still_alive(self.lease.process_id)
            return PostgresTransactions(self._engine.connect, alive=alive, origin=self.lease.process_id)

    def _connect_one(self) -> Connection:
        return self._engine.connect()

    async def close(self) -> None:
        """Finish what was begun, and disconnect."""
        if self._lock_file is None:
            return
        await self._listening.close()
        await self._changes.close()
        await self._readers.close()
        self._transactions.close()
        await asyncio.to_thread(self.lease.end)
        self._engine.dispose()
        os.close(self._lock_file)
        self._lock_file = None

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which makes all of its changes at once, or none; they are on disk when it returns."""
        with self._noting_problems():
            result = await self._changes.write(noting(work, self.listeners))
        note_change()
        self.problem = None
        return result

    async def write_ahead(self, work: Callable[[Connection], Result]) -> Change[Result]:
        """The same, but return when the changes are made, which the disk will have a moment later."""
        with self._noting_problems():
            return await self._changes.write_ahead(noting(work, self.listeners))

    async def check(self) -> str | None:
        """Why the database cannot be read or written at the moment, or None."""
        with suppress(sa.exc.SQLAlchemyError), self._noting_problems():
            await self.read(
                lambda connection: connection.exec_driver_sql("SELECT 1 FROM cases LIMIT 1").first()
            )
            if self.problem is not None:
                await self.write(lambda connection: None)
        return self.problem

    @contextmanager
    def _noting_problems(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            if is_passing(error.orig) or isinstance(error.orig, ProcessGivenUp):
                self.problem = str(error.orig).strip()
            raise

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run work on a connection that sees what this process wrote before."""
        with self._noting_problems():
            return await self._readers.read(work)

    def read_here(self, work: Callable[[Connection], Result]) -> Result | None:
        """None: asking a server takes too long for the thread of the loop."""
        return None

    async def look(self, work: Callable[[Connection], Result]) -> Result:
        """The same for what may take long: a person's search, behind which no call of an agent stands."""
        with self._noting_problems():
            return await self._readers.look(work)

    async def _say(self, statement: str) -> None:
        await self.read(lambda connection: connection.exec_driver_sql(statement))


def check_server(connection: Connection, place: str) -> None:
    """Raise DatabaseUnusable where the server is too old, takes no changes, or may forget what it took."""
    driver: Any = connection.connection.driver_connection
    version = driver.info.server_version
    if version < OLDEST:
        raise DatabaseUnusable(path=place, reason=TOO_OLD.format(version=version // 10000))
    for name, wanted in DURABLE.items():
        value = str(connection.exec_driver_sql(f"SHOW {name}").scalar())
        if value not in wanted:
            said = NOT_DURABLE.format(name=name, value=value, wanted=f"`{wanted[0]}`")
            raise DatabaseUnusable(path=place, reason=said)
    if connection.exec_driver_sql(TAKES_CHANGES).scalar() is not True:
        raise DatabaseUnusable(path=place, reason=READ_ONLY)
    if connection.info.get(PREPARES) and _loses_statements(driver):
        raise DatabaseUnusable(path=place, reason=f"a pooler stands before it. {POOLED}")


def _loses_statements(driver: "psycopg.Connection[Any]") -> bool:
    """Whether a pooler hands prepared statements through as they are, to whichever connection it takes then.

    One that keeps an account of them has names of its own for them.
    """
    with driver.transaction():
        (process,) = driver.execute("SELECT pg_backend_pid()").fetchone() or (None,)
        if process == driver.info.backend_pid:  # a pooler tells a number of its own
            return False
        name = f"atlas_{secrets.token_hex(8)}"
        driver.pgconn.prepare(name.encode(), b"SELECT 1")
        found = driver.execute("SELECT 1 FROM pg_prepared_statements WHERE name = %s", [name], prepare=False)
        is_lost = found.fetchone() is not None
        if is_lost:
            driver.execute(f"DEALLOCATE {name}")
        return is_lost
