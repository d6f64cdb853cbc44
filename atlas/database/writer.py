"""The one writer of a process: changes that wait together are committed together, each as a whole or not.

Syncing a disk takes longer than all the rest of a call, so calls at the same time share one. A change that is
soon followed by another one need not wait for the disk: what comes later sees it, and nothing that is written
later is on disk without it. The case store and the engine write with it, each through its own connection.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

LARGEST_BATCH = 64
LINGER_SECONDS = 0.02  # for which a change that no one waits for may stay out of the file

Result = TypeVar("Result")
Handle = TypeVar("Handle", covariant=True)  # what a change is made with: a connection
Errors = list[BaseException]

logger = logging.getLogger(__name__)


class Transactions(Protocol[Handle]):
    """The transactions of one connection, which has no other user; the writer's thread calls them."""

    @property
    def handle(self) -> Handle:
        """What changes are made with in the transaction that has begun."""

    def begin(self) -> None:
        """Begin: from here on no other process changes the store, until it ends."""

    def commit(self, *, is_changed: bool) -> None:
        """End it; all of it is on disk when this returns. What raises leaves nothing of it there."""

    def undo(self) -> None:
        """End it, and leave nothing of it, also after a `commit` that has failed."""

    def begin_change(self) -> None:
        """Begin one more change in it, which can be undone alone; the first begins with it."""

    def undo_change(self) -> None:
        """Leave nothing of the change that began last."""

    @property
    def is_begun(self) -> bool:
        """Whether it has begun, and the store has not undone it."""


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
    work: Callable[[Any], Any]
    made: "asyncio.Future[Any] | None"  # for a caller who does not wait for the disk
    synced: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class Writer(Generic[Handle]):
    """Runs changes in a thread of its own, in the order in which they come.

    `failure` makes the error that the callers get of the one that kept a batch from the disk. In the loop,
    `settled` is told the errors of each batch, none where all of it is on disk, and `landed` each change that
    is on disk.
    """

    def __init__(
        self,
        transactions: Transactions[Handle],
        *,
        name: str,
        failure: Callable[[BaseException], BaseException],
        settled: Callable[[Errors], None] = lambda errors: None,
        landed: Callable[[Callable[[Handle], Any]], None] | None = None,
        largest_batch: int = LARGEST_BATCH,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._transactions = transactions
        self._failure = failure
        self._settled = settled
        self._landed = landed
        self._largest_batch = largest_batch
        self._linger_seconds = linger_seconds
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._is_open = True
        self._unsynced = 0  # changes that others see and the disk may not have
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Handle], Result]) -> Result:
        """Make a change, and return its result when it is on disk."""
        job = _Job(work, made=None, synced=self._loop.create_future())
        self._hand_over(job)
        result: Result = await job.synced
        return result

    async def write_ahead(self, work: Callable[[Handle], Result]) -> Change[Result]:
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
        """Commit what was handed over, and end; the connection stays open."""
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
        self._jobs.put(_Job(lambda handle: None, made=None, synced=self._loop.create_future()))

    def _serve(self) -> None:
        is_open = True
        while is_open:
            job = self._jobs.get()
            is_open = job is not None and self._commit(job)

    def _commit(self, first: _Job) -> bool:
        """Run a batch in one transaction; tells whether more may come."""
        jobs, is_open = [first], True
        try:
            self._transactions.begin()  # what is read first must not change before it is written
            is_open = self._run_batch(jobs)
            self._transactions.commit(is_changed=any(job.error is None for job in jobs))
        except BaseException as error:  # handed to every caller of the batch: none of it is on disk
            self._transactions.undo()
            failure = self._failure(error)
            for job in jobs:
                job.error = failure
        self._tell(self._resolve, jobs)
        return is_open

    def _run_batch(self, jobs: list[_Job]) -> bool:
        """Run the first job and those that come meanwhile; tells whether more may come."""
        job: _Job | None = jobs[0]
        deadline = monotonic() + self._linger_seconds
        is_waited_for = False
        while job is not None:
            self._run(job, is_first=len(jobs) == 1)
            is_waited_for |= job.made is None
            if job.made is not None:
                self._tell(_resolve_made, job)
            if len(jobs) == self._largest_batch:
                return True
            try:
                left = 0.0 if is_waited_for else deadline - monotonic()
                job = self._jobs.get(timeout=left) if left > 0 else self._jobs.get_nowait()
            except queue.Empty:
                return True
            if job is not None:
                jobs.append(job)
        return False

    def _run(self, job: _Job, *, is_first: bool) -> None:
        """Run a change; of one that fails nothing stays."""
        if not is_first:
            self._transactions.begin_change()
        try:
            job.result = job.work(self._transactions.handle)
        except Exception as error:  # handed to the caller who asked for it; the rest of the batch stands
            if not self._transactions.is_begun:  # a full disk has undone all of them
                raise
            job.error = error
            self._transactions.undo_change()

    def _tell(self, what: Callable[[Any], None], about: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended, and no one waits any more
            self._loop.call_soon_threadsafe(what, about)

    def _resolve(self, jobs: list[_Job]) -> None:
        for job in jobs:
            if self._landed is not None and job.error is None:
                self._landed(job.work)
            for future in (job.made, job.synced):
                if future is not None and not future.done():
                    _settle(future, job)
        self._settled([job.error for job in jobs if job.error is not None])


def _resolve_made(job: _Job) -> None:
    if job.made is not None and not job.made.done():
        _settle(job.made, job)


def _settle(future: "asyncio.Future[Any]", job: _Job) -> None:
    if job.error is None:
        future.set_result(job.result)
    else:
        future.set_exception(job.error)
