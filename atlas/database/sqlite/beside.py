"""The SQLite file in a command: SQLite lets one process write at a time, and the others wait."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from atlas.database.beside import ANOTHER_VERSION, KEPT_ELSEWHERE
from atlas.database.migrating import is_newest
from atlas.database.sqlite import copying as copying_sqlite
from atlas.database.sqlite.data_directory import (
    LACKING,
    examine,
    lock_directory,
    make_directory,
    newest_entry,
)
from atlas.database.sqlite.files import read_acknowledged, write_acknowledged
from atlas.database.sqlite.read_only import ReadOnlyFile
from atlas.database.sqlite.store import make_ready, refusing, writing_engine
from atlas.database.statements import one_moment
from atlas.errors import DatabaseUnusable, DataDirectoryInUse

Result = TypeVar("Result")
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


class SqliteBeside:
    """The file of a data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.path = directory / "atlas.db"

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self.path)

    @property
    def setting(self) -> str:
        """The lines of `.env` with which a gateway keeps its cases there."""
        return f"ATLAS_DATA_DIR={self._directory}, and no ATLAS_DATABASE_URL,"

    def make_ready(self) -> None:
        """Make the file or its tables where they lack, for which the directory must be free.

        Raises DataDirectoryUnusable and DatabaseUnusable.
        """
        make_directory(self._directory)
        with refusing(self.path):
            if not is_newest(self.path):
                self._update()
            self._require_acknowledged()

    def bring_up_to_date(self) -> None:
        """The same: what is older is brought up to date too."""
        self.make_ready()

    def change(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which makes all of its changes at once, or none; they are on disk when it returns."""
        self.make_ready()
        with refusing(self.path), self._engine() as engine, engine.connect() as connection:
            result = in_one_transaction(connection, work)
            driver: Any = connection.connection.driver_connection
            self._acknowledge(newest_entry(driver))
            return result

    def look(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which changes nothing and sees one moment."""
        return self._file.read(work)

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement at one moment; what is no UTF-8 is read all the same."""
        with refusing(self.path), closing(self._read_only()) as connection:
            yield from connection.execute(statement)

    def tables(self) -> frozenset[str]:
        """The names of the tables; none of a file that is not there."""
        if not self.path.exists():
            return frozenset()
        return frozenset(str(row[0]) for row in self.rows(TABLES))

    def findings(self) -> Iterator[str]:
        """What is right with the file; what is wrong is raised."""
        self.look(lambda connection: None)  # which says whether the tables are of this version
        with refusing(self.path), closing(self._read_only()) as connection:
            examine(self.path, 0)
            newest = newest_entry(connection)
            (said,) = connection.execute("SELECT sqlite_version()").fetchone()
        yield f"{self.place}: SQLite {said} finds no damage. The tables are of this version."
        yield f"The newest entry of the ledger is number {newest}: `python -m atlas.ledger verify`."

    def try_out(self) -> None:
        """Nothing: a gateway that starts looks at its file, and brings it up to date."""

    @contextmanager
    def moment(self) -> Iterator[copying_sqlite.SqliteTarget]:
        """All that is read inside is of one moment, also while a gateway works."""
        self.look(lambda connection: None)  # which says whether the tables are of this version
        engine = sa.create_engine("sqlite://", creator=self._read_only, poolclass=sa.StaticPool)
        try:
            with refusing(self.path), engine.connect() as connection, one_moment(connection):
                yield copying_sqlite.SqliteTarget(connection)
        finally:
            engine.dispose()

    def back_up(self, path: Path) -> None:
        """Write all that the file holds at one moment into a new one."""
        with refusing(self.path), closing(self._read_only()) as connection:
            connection.execute("VACUUM INTO ?", (str(path),))

    def as_source(self) -> AbstractContextManager[None]:
        """While this is entered nothing changes the file; raises DataDirectoryInUse."""
        return copying_sqlite.copied(self.path)

    def as_target(self) -> AbstractContextManager[copying_sqlite.SqliteTarget]:
        """Make the file and fill it, as a whole or not at all; raises DataDirectoryInUse."""
        return copying_sqlite.filled(self.path)

    def retire(self) -> str:
        """Rename the file: a gateway that finds none where one was does not start."""
        target = self.path.with_name("atlas.db.copied")
        copying_sqlite.rename(self.path, target)
        return f"{self.path} is {target} now, so that no gateway goes on with it. To go back, rename it."

    def _read_only(self) -> sqlite3.Connection:
        """A connection that reads what is no UTF-8 all the same."""
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        return connection

    @cached_property
    def _file(self) -> ReadOnlyFile:
        return ReadOnlyFile(self.path)

    def _update(self) -> None:
        """Make the tables, or bring them up to date, as the gateway does at its start."""
        try:
            lock = lock_directory(self._directory)
        except DataDirectoryInUse:
            if is_newest(self.path):  # it has just been made by a gateway that starts
                return
            reason = ANOTHER_VERSION if self.path.exists() else KEPT_ELSEWHERE
            raise DatabaseUnusable(path=self.path, reason=reason) from None
        try:
            make_ready(self.path, read_acknowledged(lock))
        finally:
            os.close(lock)

    def _require_acknowledged(self) -> None:
        """Raise DatabaseUnusable where the file lacks what was acknowledged."""
        with self._engine() as engine, engine.connect() as connection, self._note() as note:
            driver: Any = connection.connection.driver_connection
            acknowledged = read_acknowledged(note)  # first: a running gateway goes on
            if newest_entry(driver) < acknowledged:
                raise DatabaseUnusable(path=self.path, reason=LACKING)

    def _acknowledge(self, entry: int) -> None:
        """Note it where a gateway looks at its next start; one that runs notes more with its next change."""
        with self._note() as note:
            if read_acknowledged(note) < entry:
                write_acknowledged(note, entry)

    @contextmanager
    def _note(self) -> Iterator[int]:
        """The file with the note of what was acknowledged, open."""
        path = self._directory / "gateway.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        """Connections to the file that keep what they commit."""
        engine = writing_engine(self.path)
        try:
            yield engine
        finally:
            engine.dispose()


def in_one_transaction(connection: Connection, work: Callable[[Connection], Result]) -> Result:
    """Run work as a whole or not at all; what it reads first does not change before it writes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # waits for the gateway's own changes, up to 5 seconds
    try:
        result = work(connection)
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        with suppress(sa.exc.DBAPIError):  # where SQLite has undone it already
            connection.exec_driver_sql("ROLLBACK")
        raise
    return result
