"""The SQLite file: held by one engine, written by the one writer, and whether it can be at the moment."""

import asyncio
import functools
import logging
import os
import pathlib
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from atlas.database.sqlite.files import is_damage, read_acknowledged, write_acknowledged
from atlas.database.sqlite.transactions import SqliteTransactions
from atlas.database.writer import Errors, Writer
from atlas.engine.errors import StoreFailed
from atlas.engine.schema import connect_reader, connect_store, count_commit, lock_store

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

logger = logging.getLogger(__name__)

_LARGEST_BATCH = 256


class Store:
    """Does each piece of work in a transaction; what `write` has returned is on disk."""

    def __init__(self, path: pathlib.Path, *, on_commit: Callable[[], None]) -> None:
        self._path = path
        self._on_commit = on_commit
        self._is_open = False
        self.damage: str | None = None  # which nothing mends while the engine runs
        self.problem: str | None = None  # why the last change could not be kept

    async def open(self) -> None:
        """Lock and open the file and start the writer."""
        self._lock = lock_store(self._path)
        try:
            acknowledged = read_acknowledged(self._lock)
            self._connection = await asyncio.to_thread(connect_store, self._path, acknowledged=acknowledged)
            self.reader = connect_reader(self._path)
        except BaseException:
            os.close(self._lock)
            raise
        transactions = SqliteTransactions(
            self._connection,
            self._connection,
            number=count_commit,
            acknowledge=functools.partial(write_acknowledged, self._lock),
        )
        self._changes = Writer(
            transactions,
            name="atlas-engine-store",
            failure=_failed,
            settled=self._settle,
            largest_batch=_LARGEST_BATCH,
        )
        self._is_open = True

    async def close(self) -> None:
        """Commit what was handed in, then close the file."""
        if not self._is_open:
            return
        self._is_open = False
        await self._changes.close()
        self.reader.close()  # before the writer, which puts everything into the one file when it is the last
        await asyncio.to_thread(self._connection.close)
        os.close(self._lock)

    async def write(self, work: Work[T]) -> T:
        """What the work returned, once it is on disk; raises StoreFailed if it could not be kept."""
        if not self._is_open:
            raise StoreFailed("The engine is stopped.")
        return await self._changes.write(functools.partial(_run, work))

    def note(self, error: BaseException) -> None:
        """Remember that the file was found to be damaged, if the error says so."""
        is_ours = isinstance(error, sqlite3.Error | StoreFailed)
        if self.damage is None and is_ours and is_damage(str(error)):
            self.damage = f"{self._path} is damaged: {error}"
            logger.error(
                "%s. Stop, and move %s* away to begin with an empty one.", self.damage, self._path.name
            )

    def _settle(self, errors: Errors) -> None:
        """Say once that changes can't be kept, and once that they can again."""
        failure = next((error for error in errors if isinstance(error, StoreFailed)), None)
        if failure is not None:
            self.note(failure)
        problem = str(failure) if failure is not None else None
        if problem is not None and problem != self.problem:
            logger.error("%s It is tried again until it can be.", problem)
        if problem is None and self.problem is not None:
            logger.warning("The store can be written again.")
        self.problem = problem
        self._on_commit()


def _run(work: Work[T], connection: sqlite3.Connection) -> T:
    try:
        return work(connection)
    except sqlite3.Error as error:
        raise _failed(error) from error


def _failed(error: BaseException) -> StoreFailed:
    if isinstance(error, StoreFailed):
        return error
    failure = StoreFailed(f"The store can't be written: {error}.")
    failure.__cause__ = error
    return failure
