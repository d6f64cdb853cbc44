"""The one writer of the database: changes that wait together are committed together, each as a whole or not.

Syncing a file takes longer than all the rest of a call, so calls at the same time share one. A change that is
soon followed by another one need not wait for the disk: whoever comes later sees it, and nothing that is
written later is on disk without it.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

LARGEST_BATCH = 64
LINGER_SECONDS = 0.02  # for which a change that nobody waits for may stay out of the file

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Change(Generic[Result]):
    """A change that is made, and will be on disk: with what is written next, or soon."""

    def __init__(self, result: Result, synced: "asyncio.Future[None]", hurry: Callable[[], None]) -> None:
        self.result = result
        self._synced = synced
        self._hurry = hurry

    async def on_disk(self) -> Result:
        """Wait until it is on disk, and return its result; raises what has kept it from there."""
        if not self._synced.done():
            self._hurry()
        await self._synced
        return self.result


@dataclass(eq=False)
class _Job:
    work: Callable[[Connection], Any]
    made: "asyncio.Future[Any] | None"  # for whoever does not wait for the disk
    synced: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs changes in a thread of its own, in the order in which they come."""

    def __init__(
        self,
        engine: sa.Engine,
        *,
        number: Callable[[Connection], int],
        acknowledge: Callable[[int], None],
    ) -> None:
        self._engine = engine
        self._number = number  # of what a transaction has come to
        self._acknowledge = acknowledge  # is told that number when it is on disk
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._is_open = True
        self._unsynced = 0  # changes that others see and the disk may not have
        self._thread = threading.Thread(target=self._serve, name="database-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Make a change, and return its result when it is on disk."""
        job = _Job(work, made=None, synced=self._loop.create_future())
        self._hand_over(job)
        result: Result = await job.synced
        return result

    async def write_ahead(self, work: Callable[[Connection], Result]) -> Change[Result]:
        """Make a change, and return it as soon as others see it."""
        made: asyncio.Future[Result] = self._loop.create_future()
        job = _Job(work, made, synced=self._loop.create_future())
        self._hand_over(job)
        self._unsynced += 1
        job.synced.add_done_callback(partial(self._note_synced, made))
        return Change(await made, job.synced, self._hurry)

    @property
    def is_behind(self) -> bool:
        """Whether there are changes that a reader of the file may not see yet."""
        return self._unsynced > 0

    async def close(self) -> None:
        """Commit what was handed over, and end."""
        self._is_open = False
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self, job: _Job) -> None:
        if not self._is_open:
            raise RuntimeError("The database is closed.")
        self._jobs.put(job)

    def _note_synced(self, made: "asyncio.Future[Any]", synced: "asyncio.Future[Any]") -> None:
        self._unsynced -= 1
        lost = None if synced.cancelled() else synced.exception()
        if lost is not None and not made.cancelled() and made.exception() is None:
            logger.error("A change did not get to the disk: %s", type(lost).__name__)

    def _hurry(self) -> None:
        """Have the changes so far committed at once."""
        self._jobs.put(_Job(lambda connection: None, made=None, synced=self._loop.create_future()))

    def _serve(self) -> None:
        is_open = True
        while is_open:
            job = self._jobs.get()
            is_open = job is not None and self._commit(job)
        self._disconnect()

    def _commit(self, first: _Job) -> bool:
        """Run a batch in one transaction; tells whether more may come."""
        jobs, is_open = [first], True
        try:
            connection = self._connect()
            _execute(connection, "BEGIN IMMEDIATE")  # what is read first must not change before it is written
            is_open = self._run_batch(connection, jobs)
            number = self._number(connection)
            _execute(connection, "COMMIT")
            connection.commit()  # SQLAlchemy does not know yet
            self._acknowledge(number)
        except BaseException as error:  # handed to everybody whose change is not on disk
            self._disconnect()  # which undoes what a failed COMMIT leaves open
            for job in jobs:
                job.error = error
        self._tell(_resolve, jobs)
        return is_open

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                connection.close()

    def _run_batch(self, connection: Connection, jobs: list[_Job]) -> bool:
        """Run the first job and those that come meanwhile; tells whether more may come."""
        job: _Job | None = jobs[0]
        deadline = monotonic() + LINGER_SECONDS
        is_waited_for = False
        while job is not None:
            _run(connection, job)
            is_waited_for |= job.made is None
            if job.made is not None:
                self._tell(_resolve_made, job)
            if len(jobs) == LARGEST_BATCH:
                return True
            try:
                left = 0.0 if is_waited_for else deadline - monotonic()
                job = self._jobs.get(timeout=left) if left > 0 else self._jobs.get_nowait()
            except queue.Empty:
                return True
            if job is not None:
                jobs.append(job)
        return False

    def _tell(self, what: Callable[[Any], None], about: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everybody who could wait
            self._loop.call_soon_threadsafe(what, about)


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        for future in (job.made, job.synced):
            if future is not None and not future.done():
                _settle(future, job)


def _run(connection: Connection, job: _Job) -> None:
    _execute(connection, "SAVEPOINT change")
    try:
        job.result = job.work(connection)
    except Exception as error:  # handed to whoever asked for it; the rest of the batch stands
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:  # a full disk has undone all of them
            raise
        job.error = error
        _execute(connection, "ROLLBACK TO change")
    _execute(connection, "RELEASE change")


def _execute(connection: Connection, statement: str) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(statement)
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError(statement, None, error) from error


def _resolve_made(job: _Job) -> None:
    if job.made is not None and not job.made.done():
        _settle(job.made, job)


def _settle(future: "asyncio.Future[Any]", job: _Job) -> None:
    if job.error is None:
        future.set_result(job.result)
    else:
        future.set_exception(job.error)
