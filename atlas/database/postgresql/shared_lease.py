"""The lease of one of several processes: a thread says that it lives, and it watches the others.

A process that was frozen or cut off asks the store before it calls a tool or sends a notice, and ends when it
was given up meanwhile.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database import processes
from atlas.errors import ProcessGivenUp

LEASE_SECONDS = 15.0  # of silence, after which a process is given up by the others
BEAT_SECONDS = LEASE_SECONDS / 3
SURE_SECONDS = LEASE_SECONDS - BEAT_SECONDS  # after a beat, for which no other may have given it up
AGAIN_SECONDS = 0.5  # before a beat that failed is tried again

logger = logging.getLogger(__name__)


class SharedLease:
    """Of one of several processes; a thread that does nothing else says that it lives."""

    is_shared = True

    def __init__(self, process_id: str, connect: Callable[[], Connection]) -> None:
        self.process_id = process_id
        self.living = frozenset({process_id})
        self.is_lost = False
        self._connect = connect
        self._connection: Connection | None = None
        self._sure_until = 0.0  # by a clock that goes on while the machine sleeps
        # When all were looked at last, and what each said last, with the moment since which it is so.
        self._watched: tuple[float, dict[str, tuple[str, float]]] = (0.0, {})
        self._asking = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, former: str | None) -> None:
        """Write down that this process lives, and that a former one of its directory has ended."""
        with self._connect() as connection:
            if former is not None:
                processes.leave(connection, former)
            processes.enter(connection, self.process_id)
        self._beat()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Write down that this process has ended, if it has begun and the store can be asked."""
        self._over.set()
        if self._thread is None:
            return
        self._thread.join()
        with suppress(sa.exc.SQLAlchemyError, psycopg.Error), self._asking:
            processes.leave(self._connected(), self.process_id)
        self._drop()

    def silent(self) -> dict[str, str]:
        """Those whose last word has stood for longer than a lease, all of which this process was watching."""
        looked_at, seen = self._watched
        if boot_time() - looked_at > 2 * BEAT_SECONDS:  # it was away itself
            return {}
        return {
            process_id: said
            for process_id, (said, since) in seen.items()
            if looked_at - since > LEASE_SECONDS and process_id != self.process_id
        }

    async def confirm(self) -> None:
        """Ask the store where the last answer is too old to be sure; raises ProcessGivenUp."""
        while self.is_lost or boot_time() >= self._sure_until:
            if self.is_lost:
                raise ProcessGivenUp
            if not await asyncio.to_thread(self._try_to_beat):
                await asyncio.sleep(AGAIN_SECONDS)

    def _run(self) -> None:
        pause = BEAT_SECONDS
        while not self._over.wait(pause) and not self.is_lost:
            pause = BEAT_SECONDS if self._try_to_beat() else AGAIN_SECONDS

    def _try_to_beat(self) -> bool:
        try:
            self._beat()
        except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
            logger.warning("The database does not hear that this gateway lives: %s", type(error).__name__)
            return False
        return True

    def _beat(self) -> None:
        with self._asking:
            began = boot_time()  # before: the store may have heard it as early as that
            try:
                is_alive, others = self._ask()
            except BaseException:
                self._drop()
                raise
            if not is_alive:
                self.is_lost = True
                return
            self._sure_until = began + SURE_SECONDS
            self._watch(others)

    def _ask(self) -> tuple[bool, dict[str, str]]:
        connection = self._connected()
        with bounded(connection, BEAT_SECONDS):
            return processes.beat(connection, self.process_id), processes.living(connection)

    def _watch(self, others: dict[str, str]) -> None:
        """Note what others said last; what was not watched all the time counts as said now."""
        looked_at, seen = self._watched
        moment = boot_time()
        known = seen if moment - looked_at <= 2 * BEAT_SECONDS else {}
        now_seen = {
            process_id: known[process_id] if known.get(process_id, ("",))[0] == said else (said, moment)
            for process_id, said in others.items()
        }
        self._watched = moment, now_seen
        self.living = frozenset(others)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, sa.exc.SQLAlchemyError):
                connection.invalidate()
                connection.close()


def boot_time() -> float:
    """Seconds that go on while the process is frozen and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@contextmanager
def bounded(connection: Connection, seconds: float) -> Iterator[None]:
    """What is asked inside fails after so many seconds: a network can swallow a question for ever."""
    driver: Any = connection.connection.driver_connection
    with socket.socket(fileno=os.dup(driver.pgconn.socket)) as wire:
        alarm = threading.Timer(seconds, _cut, [wire])
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()


def _cut(wire: socket.socket) -> None:
    with suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)
