"""The SQLite file of cases, ledger and welfare records: its connections and its transactions."""

import asyncio
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import ConnectionPoolEntry

from atlas.database import processes
from atlas.database.facts import Listener, noting, tell
from atlas.database.failures import note_change
from atlas.database.hints import Hints
from atlas.database.lease import LoneLease
from atlas.database.migrating import bring_up_to_date, leave_transactions
from atlas.database.readers import Readers
from atlas.database.sqlite.data_directory import REMEDY, examine, lock_directory, make_directory, newest_entry
from atlas.database.sqlite.files import (
    is_damage,
    keep_commits,
    keep_names,
    read_acknowledged,
    write_acknowledged,
)
from atlas.database.sqlite.transactions import SqliteTransactions
from atlas.database.statements import as_raised, is_passing
from atlas.database.writer import Change, Writer
from atlas.errors import DatabaseUnusable

Result = TypeVar("Result")

_failure = partial(as_raised, kinds=sqlite3.Error)


class SqliteDatabase:
    """One file, one writer at a time; every write is on disk before it counts.

    Work is a plain function of a connection and runs as a whole in a thread: handing each statement to a
    thread, as an async driver does, cost ten times the CPU of the statements (benchmarks/governed_call.py).
    """

    kind = "sqlite"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hints = Hints(is_sound=True)  # no other gateway has the file, and no command changes a case
        self.path = directory / "atlas.db"
        self.lease = LoneLease(secrets.token_hex(8))
        self._lock_file: int | None = None
        self.problem: str | None = None  # why the last change could not be kept, in SQLite's words
        self.listeners: list[Listener] = []  # hear of each change that is on disk

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self.path)

    async def open(self) -> None:
        """Take the directory for this process, bring the tables up to date, connect.

        Raises DataDirectoryInUse while another gateway holds the directory, DataDirectoryUnusable where it
        cannot be written, and DatabaseUnusable.
        """
        make_directory(self.directory)
        self._lock_file = lock_directory(self.directory)
        try:
            self._acknowledged = read_acknowledged(self._lock_file)
            self._connection = await asyncio.to_thread(self._connect)
        except BaseException:
            os.close(self._lock_file)
            self._lock_file = None
            raise
        driver: Any = self._connection.connection.driver_connection
        transactions = SqliteTransactions(
            self._connection, driver, number=newest_entry, acknowledge=self._acknowledge
        )
        self._changes = Writer(transactions, name="database-writer", failure=_failure, landed=tell)
        self._readers = Readers(self._reader.connect, self._changes)
        await self.write(partial(processes.alone, process_id=self.lease.process_id))

    def _connect(self) -> Connection:
        """Make the file ready, and return the connection of its writer; raises DatabaseUnusable."""
        # Errors without the values: they are logged, and a failed step tells its error to Inngest.
        self._writer = writing_engine(self.path)
        self._reader = sa.create_engine(
            f"sqlite:///{self.path}", hide_parameters=True, isolation_level="AUTOCOMMIT"
        )
        sa.event.listen(self._reader, "connect", _prepare_reader)
        with refusing(self.path):
            make_ready(self.path, self._acknowledged)
            return self._writer.connect()

    async def close(self) -> None:
        """Finish what was begun, disconnect, and give the directory back."""
        if self._lock_file is None:
            return
        await self._changes.close()
        await self._readers.close()
        self._connection.close()
        self._writer.dispose()
        self._reader.dispose()
        os.close(self._lock_file)
        self._lock_file = None

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which makes all of its changes at once, or none; they are on disk when it returns.

        Once handed over it is carried to its end, also when the caller is cancelled.
        """
        with self._noting_problems():
            result = await self._changes.write(noting(work, self.listeners))
        note_change()
        if not is_damage(self.problem):
            self.problem = None
        return result

    async def write_ahead(self, work: Callable[[Connection], Result]) -> Change[Result]:
        """The same, but return when others see the changes, which the disk will have a moment later."""
        with self._noting_problems():
            return await self._changes.write_ahead(noting(work, self.listeners))

    def _acknowledge(self, entry: int) -> None:
        if entry > self._acknowledged and self._lock_file is not None:
            self._acknowledged = entry
            write_acknowledged(self._lock_file, entry)

    async def check(self) -> str | None:
        """Why the file cannot be read or written at the moment, or None; what has failed is tried again."""
        with suppress(sa.exc.DBAPIError), self._noting_problems():
            await self.read(
                lambda connection: connection.exec_driver_sql("SELECT 1 FROM cases LIMIT 1").first()
            )
            if self.problem is not None:
                await self.write(_touch)
        return self.problem

    @contextmanager
    def _noting_problems(self) -> Iterator[None]:
        """Remember an error of the file; one of a statement, such as a broken constraint, is none."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            if is_passing(error.orig) or is_damage(str(error.orig)):
                self.problem = str(error.orig)
            raise

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run work on a connection that sees what was written before."""
        return await self._readers.read(work)

    def read_here(self, work: Callable[[Connection], Result]) -> Result | None:
        """Run work that takes next to no time, in the caller's thread, which costs less than another thread.

        None, without a look, while there is a change that may not be seen yet.
        """
        return self._readers.read_here(work)

    async def look(self, work: Callable[[Connection], Result]) -> Result:
        """The same for what may take long: a person's search, behind which no call of an agent stands."""
        return await self._readers.look(work)


def make_ready(path: Path, acknowledged: int) -> None:
    """Look at a file, new or old, then bring its tables up to date; the directory is held."""
    examine(path, acknowledged)
    bring_up_to_date(path)
    keep_names(path.parent)
    keep_names(path.absolute().parent.parent)


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Say in a sentence, with DatabaseUnusable, why a file cannot be used."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        said = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
        remedy = f" {REMEDY}" if is_damage(said) else ""
        raise DatabaseUnusable(path=path, reason=f"{said}.{remedy}") from error


def _touch(connection: Connection) -> None:
    """Write what is there already, to find out whether anything can be written."""
    connection.exec_driver_sql("PRAGMA user_version = 0")


def writing_engine(path: Path) -> Engine:
    """Connections to a file that keep what they commit; errors are told without the values."""
    engine = sa.create_engine(f"sqlite:///{path}", hide_parameters=True)
    sa.event.listen(engine, "connect", _prepare_writer)
    return engine


def _prepare_writer(connection: Any, entry: ConnectionPoolEntry) -> None:
    """Have a connection leave transactions to us, wait for others, and keep what it commits."""
    leave_transactions(connection, entry)
    _prepare_reader(connection, entry)
    keep_commits(connection)
    connection.execute("PRAGMA foreign_keys = ON")


def _prepare_reader(connection: Any, entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA busy_timeout = 5000")
