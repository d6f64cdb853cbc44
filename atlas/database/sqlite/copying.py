"""A SQLite file that is copied, and one that is filled."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database.migrating import bring_up_to_date
from atlas.database.sqlite.data_directory import lock_directory, make_directory, newest_entry
from atlas.database.sqlite.files import keep_names, write_acknowledged
from atlas.database.sqlite.store import refusing, writing_engine

Result = TypeVar("Result")
FILES = ("", "-wal", "-shm")  # what belongs to a database, behind its name


class SqliteTarget:
    """The transaction in which a file is filled."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def driver(self) -> sqlite3.Connection:
        """The connection of the driver."""
        driver: Any = self._connection.connection.driver_connection
        return driver  # type: ignore[no-any-return]

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
        """Put rows into a table as they come; SQLite holds each of them as it is."""
        named = ", ".join(f'"{name}"' for name in columns)
        values = ", ".join("?" for _ in columns)
        self.driver.executemany(f"INSERT INTO {table} ({named}) VALUES ({values})", rows)  # noqa: S608
        return 0

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Run work on the connection of the transaction."""
        return work(self._connection)

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement as they come."""
        yield from self.driver.execute(statement)


@contextmanager
def _begun(path: Path) -> Iterator[Connection]:
    """A transaction that keeps other processes from changing a file; it is rolled back unless committed."""
    engine = writing_engine(path)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            finally:
                with suppress(sa.exc.DBAPIError):  # where it has ended
                    connection.exec_driver_sql("ROLLBACK")
    finally:
        engine.dispose()


@contextmanager
def copied(path: Path) -> Iterator[None]:
    """While this is entered nothing changes a file; raises DataDirectoryInUse."""
    make_directory(path.parent)
    lock = lock_directory(path.parent)
    try:
        with refusing(path), _begun(path):
            yield
    finally:
        os.close(lock)


@contextmanager
def filled(path: Path) -> Iterator[SqliteTarget]:
    """A file to be filled, which is made where it is missing; raises DataDirectoryInUse."""
    make_directory(path.parent)
    lock, is_new = lock_directory(path.parent), not path.exists()
    try:
        with refusing(path):
            bring_up_to_date(path)
            with _begun(path) as connection:
                target = SqliteTarget(connection)
                yield target
                newest = newest_entry(target.driver)
                connection.exec_driver_sql("COMMIT")
            keep_names(path.parent)
            write_acknowledged(lock, newest)
    except BaseException:
        if is_new:  # an empty file would hide that the cases of a directory are missing
            for end in FILES:
                Path(f"{path}{end}").unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)


def rename(path: Path, target: Path) -> None:
    """Give a database that no process has open another name."""
    for end in FILES:
        if Path(f"{path}{end}").exists():
            os.replace(f"{path}{end}", f"{target}{end}")
    keep_names(path.parent)
