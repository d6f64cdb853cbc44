"""Attempts of libraries that block a thread: each is cut off after its time, and no exit waits for one."""

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.05
MOST_BYTES = 32 * 1024 * 1024  # that a connection brings; far more than any answer is read of
RECEIVED = slice(128, 136)  # of TCP_INFO of Linux: tcpi_bytes_received


class Attempt:
    """What one attempt has opened and was answered."""

    def __init__(self) -> None:
        self.statuses: list[int] = []  # of answers over HTTP
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_over = False
        self._ended = threading.Event()

    @property
    def redirect(self) -> int | None:
        """The status of an answer that names another place, where there was one."""
        return next((status for status in self.statuses if 300 <= status < 400), None)

    def join(self, connection: socket.socket) -> None:
        """Take a connection that is opened now; raises ConnectionAbortedError where the time is over."""
        with self._lock:
            if self._is_over:
                raise ConnectionAbortedError("the time of this attempt is over")
            # A second handle: TLS takes the socket over, and its number may soon be that of another file.
            self._connections.append(socket.socket(fileno=os.dup(connection.fileno())))

    def cut(self) -> None:
        """End all connections, so that a thread that reads from one reads no more, and refuse new ones."""
        with self._lock:
            self._is_over = True
            for connection in self._connections:
                with suppress(OSError):  # the other side has ended it before
                    connection.shutdown(socket.SHUT_RDWR)

    def watch(self, seconds: float) -> None:
        """Wait until it has ended, and cut it after so many seconds, or where it is sent too much."""
        until = time.monotonic() + seconds
        while not self._ended.wait(LOOK_SECONDS):
            if time.monotonic() >= until or self._received() > MOST_BYTES:
                self.cut()
                return

    def _received(self) -> int:
        with self._lock:
            return max((_received(connection) for connection in self._connections), default=0)

    def close(self) -> None:
        """Let go of the connections."""
        self._ended.set()
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()


def _received(connection: socket.socket) -> int:
    """How many bytes came; 0 where the system does not say."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RECEIVED.stop)
    except (AttributeError, OSError):  # not Linux, or not TCP: the time alone is the bound
        return 0
    return int.from_bytes(info[RECEIVED], sys.byteorder)


_attempt: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


def current() -> Attempt | None:
    """The attempt inside which this runs."""
    return _attempt.get()


@contextmanager
def within(seconds: float) -> Iterator[Attempt]:
    """An attempt whose connections are cut off after so many seconds."""
    _watch_connections()
    attempt = Attempt()
    token = _attempt.set(attempt)
    threading.Thread(target=attempt.watch, args=(seconds,), name="watch-attempt", daemon=True).start()
    try:
        yield attempt
    finally:
        _attempt.reset(token)
        attempt.close()


async def in_thread(work: Callable[[], T], *, name: str) -> T:
    """What a function returns or raises, in a thread for which no end of the process waits.

    The threads of an executor would be waited for.
    """
    told: Future[T] = Future()
    told.set_running_or_notify_cancel()
    threading.Thread(target=_tell, args=(work, told), name=name, daemon=True).start()
    return await asyncio.wrap_future(told)


def _tell(work: Callable[[], T], told: "Future[T]") -> None:
    try:
        told.set_result(work())
    except BaseException as error:  # it is raised where the result is waited for
        told.set_exception(error)


@cache
def _watch_connections() -> None:
    """Have Python say when a socket is connected: the one place that HTTP, SMTP and others have in common."""
    sys.addaudithook(_connecting)


def _connecting(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and (attempt := _attempt.get()) is not None:
        attempt.join(arguments[0])
