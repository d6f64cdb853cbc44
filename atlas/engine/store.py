"""The SQLite file and its one writer thread: changes that wait together are committed together."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import pathlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from atlas.database.sqlite_files import is_damage, read_acknowledged, write_acknowledged
from atlas.engine.errors import StoreFailed
from atlas.engine.schema import connect_reader, connect_store, count_commit, lock_store

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

logger = logging.getLogger(__name__)

_LARGEST_BATCH = 256


@dataclasses.dataclass
class _Job:
    work: Work[Any]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: Exception | None = None


class Store:
    """Does each piece of work in a transaction; what `write` has returned is on disk."""

    def __init__(self, path: pathlib.Path, *, on_commit: Callable[[], None]) -> None:
        self._path = path
        self._on_commit = on_commit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._is_open = False
        self.damage: str | None = None  # which nothing mends while the engine runs
        self.problem: str | None = None  # why the last change could not be kept

    async def open(self) -> None:
        """Locks and opens the file and starts the writer."""
        self._loop = asyncio.get_running_loop()
        self._lock = lock_store(self._path)
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name="atlas-engine-store", daemon=True
        )
        self._thread.start()
        try:
            await opened
            self.reader = connect_reader(self._path)
        except BaseException:
            os.close(self._lock)
            raise
        self._is_open = True

    async def close(self) -> None:
        """Commits what was handed in, then closes the file."""
        if not self._is_open:
            return
        self._is_open = False
        self.reader.close()  # before the writer, which puts everything into the one file when it is the last
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        os.close(self._lock)

    async def write(self, work: Work[T]) -> T:
        """Returns what the work returned, once it is on disk; raises StoreFailed if it could not be kept."""
        if not self._is_open:
            raise StoreFailed("The engine is stopped.")
        job = _Job(work, self._loop.create_future())
        self._jobs.put(job)
        result: T = await job.future
        return result

    def note(self, error: Exception) -> None:
        """Remembers that the file was found to be damaged, if the error says so."""
        is_ours = isinstance(error, sqlite3.Error | StoreFailed)
        if self.damage is None and is_ours and is_damage(str(error)):
            self.damage = f"{self._path} is damaged: {error}"
            logger.error(
                "%s. Stop, and move %s* away to begin with an empty one.", self.damage, self._path.name
            )

    def _serve(self, opened: "asyncio.Future[None]") -> None:
        try:
            connection = connect_store(self._path, acknowledged=read_acknowledged(self._lock))
        except Exception as error:  # handed to the caller of open, whatever it is
            self._loop.call_soon_threadsafe(opened.set_exception, error)
            return
        self._loop.call_soon_threadsafe(opened.set_result, None)
        while jobs := self._next_batch():
            self._tell(_commit(connection, jobs, self._lock))
            self._loop.call_soon_threadsafe(self._resolve, jobs)
        connection.close()

    def _tell(self, failure: Exception | None) -> None:
        """Says once that changes can't be kept, and once that they can again."""
        if failure is not None:
            self.note(failure)
        problem = str(failure) if failure is not None else None
        if problem is not None and problem != self.problem:
            logger.error("%s It is tried again until it can be.", problem)
        if problem is None and self.problem is not None:
            logger.warning("The store can be written again.")
        self.problem = problem

    def _next_batch(self) -> list[_Job]:
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == _LARGEST_BATCH or self._jobs.empty():
                return jobs
            job = self._jobs.get_nowait()
        if jobs:
            self._jobs.put(None)
        return jobs

    def _resolve(self, jobs: list[_Job]) -> None:
        for job in jobs:
            if job.future.cancelled():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        self._on_commit()


def _commit(connection: sqlite3.Connection, jobs: list[_Job], lock: int) -> StoreFailed | None:
    """Does all jobs in one transaction; returns why it is not on disk, or None if it is."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            _run(connection, job)
        number = count_commit(connection) if any(job.error is None for job in jobs) else None
        connection.execute("COMMIT")
        if number is not None:
            write_acknowledged(lock, number)
    except Exception as error:  # handed to every caller of the batch: none of it is on disk
        failure = StoreFailed(f"The store can't be written: {error}.")
        failure.__cause__ = error
        with contextlib.suppress(sqlite3.Error):  # the next BEGIN will say so
            connection.rollback()
        for job in jobs:
            job.error = failure
        return failure
    return next((job.error for job in jobs if isinstance(job.error, StoreFailed)), None)


def _run(connection: sqlite3.Connection, job: _Job) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:  # handed to the caller of write; the rest of the batch stands
        if not connection.in_transaction:  # a full disk has rolled back all of them
            raise
        job.error = error
        if isinstance(error, sqlite3.Error):
            job.error = StoreFailed(f"The store can't be written: {error}.")
            job.error.__cause__ = error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
