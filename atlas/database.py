"""The SQLite file of cases, ledger and welfare records: its tables, its migrations, its transactions."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.pool import ConnectionPoolEntry

from atlas.commits import Change, Writer
from atlas.data_directory import NEWEST_ENTRY, REMEDY, examine, lock_directory, make_directory
from atlas.errors import DatabaseUnusable
from atlas.sqlite_files import is_damage, keep_names, read_acknowledged, write_acknowledged

MIGRATIONS = Path(__file__).parent / "migrations"
READERS = 2

Result = TypeVar("Result")

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


class Prepared:
    """A statement for the few that every call runs: on SQLite it goes to the driver as text, compiled once.

    There more time is spent on a statement's way through SQLAlchemy than in SQLite. Values are taken as they
    are, instants among them; a row from SQLite has its instants as text.
    """

    def __init__(self, statement: sa.Executable) -> None:
        self.statement = statement
        compiled = cast(sa.ClauseElement, statement).compile(dialect=sqlite.dialect(paramstyle="named"))
        self._text, self._values = str(compiled), compiled.params

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Run it in the transaction of a connection and return the first row as a tuple, or None."""
        return next(iter(self.rows(connection, values)), None)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """Run it in the transaction of a connection and return its rows as tuples."""
        return self._run(connection, values)[0]

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run it in the transaction of a connection and return how many rows it changed."""
        return self._run(connection, values)[1]

    def _run(self, connection: Connection, values: Mapping[str, Any]) -> tuple[Sequence[Any], int]:
        if connection.dialect.name != "sqlite":
            result = connection.execute(self.statement, dict(values))
            return result.all() if result.returns_rows else (), result.rowcount
        driver: Any = connection.connection.driver_connection
        texts = {
            name: instant_text(value) if isinstance(value, datetime) else value
            for name, value in values.items()
        }
        try:
            cursor = driver.execute(self._text, self._values | texts)
            return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError(self._text, None, error) from error  # without the values


_BEGIN = Prepared(sa.text("BEGIN IMMEDIATE"))
_NEWEST_ENTRY = Prepared(sa.text(NEWEST_ENTRY))


class Database:
    """One file, one writer at a time; every write is on disk before it counts.

    Work is a plain function of a connection and runs as a whole in a thread: handing each statement to a
    thread, as an async driver does, cost ten times the CPU of the statements (benchmarks/governed_call.py).
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "atlas.db"
        self._lock_file: int | None = None
        self.problem: str | None = None  # why the last change could not be kept, in SQLite's words

    async def open(self) -> None:
        """Take the directory for this process, bring the tables up to date, connect.

        Raises DataDirectoryInUse while another gateway holds the directory, DataDirectoryUnusable where it
        cannot be written, and DatabaseUnusable.
        """
        make_directory(self.directory)
        self._lock_file = lock_directory(self.directory)
        try:
            self._acknowledged = read_acknowledged(self._lock_file)
            await asyncio.to_thread(_make_ready, self.path, self._acknowledged)
        except BaseException:
            os.close(self._lock_file)
            self._lock_file = None
            raise
        # Errors without the values: they are logged, and a failed step tells its error to Inngest.
        self._writer = sa.create_engine(f"sqlite:///{self.path}", hide_parameters=True)
        self._reader = sa.create_engine(
            f"sqlite:///{self.path}", hide_parameters=True, isolation_level="AUTOCOMMIT"
        )
        self._read_threads = ThreadPoolExecutor(READERS, "database-reader")
        sa.event.listen(self._writer, "connect", _prepare_writer)
        sa.event.listen(self._reader, "connect", _prepare_reader)
        self._changes = Writer(self._writer, number=_newest_entry, acknowledge=self._acknowledge)

    async def close(self) -> None:
        """Finish what was begun, disconnect, and give the directory back."""
        if self._lock_file is None:
            return
        await self._changes.close()
        await asyncio.to_thread(self._read_threads.shutdown)
        self._writer.dispose()
        self._reader.dispose()
        os.close(self._lock_file)
        self._lock_file = None

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which makes all of its changes at once, or none; they are on disk when it returns.

        Once handed over it is carried to its end, also when the caller is cancelled.
        """
        with self._noting_problems():
            result = await self._changes.write(work)
        if not is_damage(self.problem):
            self.problem = None
        return result

    async def write_ahead(self, work: Callable[[Connection], Result]) -> Change[Result]:
        """The same, but return when others see the changes, which the disk will have a moment later."""
        with self._noting_problems():
            return await self._changes.write_ahead(work)

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
            if isinstance(error.orig, sqlite3.OperationalError) or is_damage(str(error.orig)):
                self.problem = str(error.orig)
            raise

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run work on a connection that sees what was written before."""
        if self._changes.is_behind:
            with suppress(sa.exc.SQLAlchemyError):  # what did not get to the disk is not there to be read
                await self._changes.write(lambda connection: None)

        def reading() -> Result:
            with self._reader.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._read_threads, reading)


def _newest_entry(connection: Connection) -> int:
    return int(_NEWEST_ENTRY.first(connection, {})[0])


def _make_ready(path: Path, acknowledged: int) -> None:
    """Look at the file, then bring its tables up to date; raises DatabaseUnusable."""
    try:
        examine(path, acknowledged)
        migrate(path)
        keep_names(path.parent)
        keep_names(path.absolute().parent.parent)
    except CommandError as error:  # there is no such revision
        reason = "its tables are not of this version of the gateway, but of a newer one."
        raise DatabaseUnusable(path=path, reason=reason) from error
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        said = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
        remedy = f" {REMEDY}" if is_damage(said) else ""
        raise DatabaseUnusable(path=path, reason=f"{said}.{remedy}") from error


def _touch(connection: Connection) -> None:
    """Write what is there already, to find out whether anything can be written."""
    connection.exec_driver_sql("PRAGMA user_version = 0")


def migrate(path: Path, revision: str = "head") -> None:
    """Bring the tables of a file, new or old, to the newest version, or to an older one."""
    path.touch(mode=0o600)
    engine = sa.create_engine(f"sqlite:///{path}")
    # As a whole or not at all: the driver's own transactions would leave half an update behind a kill.
    sa.event.listen(engine, "connect", _leave_transactions)
    sa.event.listen(engine, "begin", _begin_immediate)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def _leave_transactions(connection: Any, entry: ConnectionPoolEntry) -> None:
    # The driver would begin transactions by itself, and too late: see _begin_immediate.
    connection.isolation_level = None


def _prepare_writer(connection: Any, entry: ConnectionPoolEntry) -> None:
    _leave_transactions(connection, entry)
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
    _BEGIN.execute(connection, {})
