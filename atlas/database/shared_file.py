"""The SQLite file in a second process, beside a gateway that may run: one short transaction at a time."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine

from atlas.database.beside import engine_of, in_one_transaction
from atlas.database.data_directory import LACKING, newest_entry
from atlas.database.migrating import is_newest
from atlas.database.sqlite import SqliteDatabase, refusing
from atlas.database.sqlite_files import read_acknowledged, write_acknowledged
from atlas.errors import DatabaseUnusable

Result = TypeVar("Result")


class SharedFile:
    """Reads and writes as `SqliteDatabase` does, without holding the directory: SQLite locks the file."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run work that changes nothing."""
        with refusing(self._path), self._engine.connect() as connection:
            return work(connection)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run work in one transaction; it is on disk when this returns."""
        with refusing(self._path), self._engine.connect() as connection:
            result = in_one_transaction(connection, work)
            driver: Any = connection.connection.driver_connection
            self._acknowledge(newest_entry(driver))
            return result

    def check(self) -> None:
        """Raise DatabaseUnusable where the file lacks what was acknowledged."""
        with refusing(self._path), self._engine.connect() as connection, _note_of(self._path.parent) as note:
            driver: Any = connection.connection.driver_connection
            acknowledged = read_acknowledged(note)  # first: a running gateway goes on
            if newest_entry(driver) < acknowledged:
                raise DatabaseUnusable(path=self._path, reason=LACKING)

    def _acknowledge(self, entry: int) -> None:
        """Note it where a gateway looks at its next start; one that runs notes more with its next change."""
        with _note_of(self._path.parent) as note:
            if read_acknowledged(note) < entry:
                write_acknowledged(note, entry)


@contextmanager
def _note_of(directory: Path) -> Iterator[int]:
    """The file with the note of what was acknowledged, open."""
    descriptor = os.open(directory / "gateway.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def open_shared(directory: Path) -> AsyncIterator[SharedFile]:
    """The file of a directory; one that is missing or older is first made ready, for which it must be free.

    Raises DataDirectoryInUse, DataDirectoryUnusable and DatabaseUnusable.
    """
    path = directory / "atlas.db"
    if not is_newest(path):
        database = SqliteDatabase(directory)
        await database.open()
        await database.close()
    with engine_of(path) as engine:
        file = SharedFile(path, engine)
        file.check()
        yield file
