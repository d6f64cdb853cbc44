"""Reads of a store in threads, each with a connection that it keeps; what may take long has its thread."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database.statements import is_passing
from atlas.database.writer import Writer

READERS = 2

Result = TypeVar("Result")


class Readers:
    """Each read sees what the writer of this process has made before."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        changes: Writer[Connection],
        *,
        loses_connections: bool = False,
    ) -> None:
        self._connect = connect
        self._changes = changes
        self._loses_connections = loses_connections  # what a lost one could not read is read once more
        self._own = threading.local()
        self._kept: list[Connection] = []  # one of each thread that reads
        self._read_threads = ThreadPoolExecutor(READERS, "database-reader")
        self._look_threads = ThreadPoolExecutor(1, "database-looker")

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run work for a call."""
        return await self._run(work, self._read_threads)

    async def look(self, work: Callable[[Connection], Result]) -> Result:
        """Run work that may take long: no call of an agent stands behind it."""
        return await self._run(work, self._look_threads)

    def read_here(self, work: Callable[[Connection], Result]) -> Result | None:
        """Run work in the caller's thread; None, without a look, where a change may not be seen yet."""
        return None if self._changes.is_behind else self._on_kept(work)

    async def close(self) -> None:
        """Finish what was begun, and disconnect."""
        await asyncio.to_thread(self._read_threads.shutdown)
        await asyncio.to_thread(self._look_threads.shutdown)
        while self._kept:
            self._kept.pop().close()

    async def _run(self, work: Callable[[Connection], Result], threads: ThreadPoolExecutor) -> Result:
        if self._changes.is_behind:
            with suppress(sa.exc.SQLAlchemyError):  # what did not get to the disk is not there to be read
                await self._changes.write(lambda connection: None)
        return await asyncio.get_running_loop().run_in_executor(threads, partial(self._on_kept, work))

    def _on_kept(self, work: Callable[[Connection], Result]) -> Result:
        was_kept = self._loses_connections and getattr(self._own, "connection", None) is not None
        try:
            return self._once(work)
        except sa.exc.DBAPIError as error:
            if not (was_kept and is_passing(error.orig)):
                raise
            return self._once(work)

    def _once(self, work: Callable[[Connection], Result]) -> Result:
        """Run work on the connection of this thread; after a failure the next work has a new one."""
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect()
            self._kept.append(connection)
        try:
            result = work(connection)
            connection.rollback()
        except BaseException:
            self._own.connection = None
            self._kept.remove(connection)
            with suppress(sa.exc.SQLAlchemyError):  # it may be lost
                connection.invalidate()
                connection.close()
            raise
        return result
