"""Lends the connections to one upstream: each call has one to itself, used again while it is sound."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import MCPError
from mcp.client.session import MessageHandlerFnT

from atlas.errors import CallRefused, UpstreamMissing
from atlas.upstreams.config import Transport, UpstreamConfig
from atlas.upstreams.connection import Connection
from atlas.upstreams.keys import keys_of
from atlas.upstreams.web import Sockets

REST_SECONDS = 1.0  # after an attempt to connect that failed, in which no call makes another
MOST_CONNECTIONS = 16
BUSY_SECONDS = 20.0  # for which a call waits while all of them are in use
IDLE_SECONDS = 60.0  # after which a connection that no one used is closed
STALE_SECONDS = 5.0  # after which a session is asked whether it still exists before a call is sent on it
PING_SECONDS = 10.0  # for its answer; another connection is made after that
# To make one, before a call is sent: when the time of the call itself is over, its outcome is unknown.
LEND_SECONDS = 45.0


class Connections:
    """Lends connections. Only one attempt to connect runs at a time, and none soon after one that failed."""

    def __init__(self, config: UpstreamConfig, heard: MessageHandlerFnT, *, data: Path | None = None) -> None:
        self._config = config
        self._heard = heard
        self._sockets = Sockets(config, keys_of(config, data))
        self._idle: list[Connection] = []
        self._shared: Connection | None = None  # the one process, whose calls run side by side
        self._closing: set[asyncio.Future[None]] = set()
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._connecting = asyncio.Lock()
        self._failure: tuple[float, str] | None = None
        self._is_legacy_only = config.way is Transport.SSE
        self._is_modern_only = False

    @asynccontextmanager
    async def lend(self, mode: str) -> AsyncIterator[Connection]:
        """A sound connection, of the wanted era if that is spoken; UpstreamMissing if none comes in time."""
        if self._config.way is Transport.STDIO:
            yield await self._process()
            return
        async with self._place():
            connection = await self._sound_idle(mode) or await self._connect(mode)
            try:
                yield connection
            except BaseException:
                # Cancelled or failed: an answer may still be under way on it, so no one else gets it.
                self._discard(connection)
                raise
            if connection.wire.is_sound:
                self._idle.append(connection)
            else:
                self._discard(connection)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(self._free.acquire(), BUSY_SECONDS)
        except asyncio.TimeoutError:
            raise CallRefused(reason=f"{MOST_CONNECTIONS} connections to it are in use") from None
        try:
            yield
        finally:
            self._free.release()

    async def close_idle(self, *, older_than: float = IDLE_SECONDS) -> None:
        """Close what no one used for so many seconds, and what ended on its own."""
        oldest = time.monotonic() - older_than
        over = [one for one in self._idle if one.used_at <= oldest or not one.wire.is_sound]
        self._idle = [one for one in self._idle if one not in over]
        for connection in over:
            self._discard(connection)

    async def close(self) -> None:
        """Close everything."""
        await self.close_idle(older_than=0)
        if self._shared is not None:
            self._discard(self._shared)
        await asyncio.gather(*self._closing)
        await self._sockets.close()

    def _discard(self, connection: Connection) -> None:
        """Close one while its caller goes on: a server that hangs may take its time."""
        closing = asyncio.ensure_future(connection.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _process(self) -> Connection:
        """The one process, started if it does not run."""
        if not _is_fit(self._shared):
            async with self._connecting:
                if not _is_fit(self._shared):
                    self._refuse_while_resting()
                    ended, self._shared = self._shared, None
                    if ended is not None:
                        ended.is_retired = ended.wire.is_sound
                        await ended.close()
                    # In the era in which it can ask agents on the way: one process cannot speak both.
                    self._shared = await self._reach_in_time("legacy")
        assert self._shared is not None  # noqa: S101  (it is fit)
        return self._shared

    async def _sound_idle(self, mode: str) -> Connection | None:
        """One that no one uses. What was idle too long is asked first, and one that fails speaks for all."""
        while (connection := self._take_idle(mode)) is not None:
            if time.monotonic() - connection.used_at < STALE_SECONDS or await self._still_exists(connection):
                return connection
            # Asked one after the other, they would take the time in which another connection is made.
            await self.close_idle(older_than=STALE_SECONDS)
        return None

    def _take_idle(self, mode: str) -> Connection | None:
        """The one that was used last of those that are sound and of the era."""
        spoken = self._spoken(mode)
        fit = [one for one in self._idle if one.mode == spoken and one.wire.is_sound]
        if not fit:
            return None
        self._idle.remove(fit[-1])
        return fit[-1]

    async def _still_exists(self, connection: Connection) -> bool:
        """Whether a session that no one used for a while is still known there; it is discarded if not."""
        if connection.client.initialize_result is None:
            return True  # a stateless one always is
        try:
            await asyncio.wait_for(connection.request(lambda client: client.ping()), PING_SECONDS)
        except Exception:
            self._discard(connection)  # after any error another connection is made
            return False
        except BaseException:
            self._discard(connection)  # its caller is cancelled, and no one else knows of it
            raise
        return True

    async def _connect(self, mode: str) -> Connection:
        async with self._connecting:
            self._refuse_while_resting()
            return await self._reach_in_time(self._spoken(mode))

    async def _reach_in_time(self, mode: str) -> Connection:
        """Connect, or say for a while that the server is away: those who wait behind are told at once."""
        try:
            return await asyncio.wait_for(self._reach(mode), LEND_SECONDS)
        except asyncio.TimeoutError:
            reason = f"it did not answer within {LEND_SECONDS:g} seconds"
            self._failure = (time.monotonic(), reason)
            raise UpstreamMissing(reason=reason) from None

    async def _reach(self, mode: str) -> Connection:
        """Connect in the wanted era, or in the one that the upstream speaks."""
        try:
            connection = await self._attempt(mode)
        except UpstreamMissing as missing:
            if mode != "legacy" or not isinstance(missing.__cause__, MCPError):
                raise
            connection = await self._attempt("auto")  # it answered, and does not shake hands
            self._is_modern_only = True
        if mode == "auto" and connection.client.initialize_result is not None:
            self._is_legacy_only = True  # so that it is not asked each time
        return connection

    def _spoken(self, mode: str) -> str:
        return "legacy" if self._is_legacy_only else "auto" if self._is_modern_only else mode

    def _refuse_while_resting(self) -> None:
        if self._failure is not None and time.monotonic() - self._failure[0] < REST_SECONDS:
            raise UpstreamMissing(reason=self._failure[1])

    async def _attempt(self, mode: str) -> Connection:
        connection = Connection(self._config, mode, self._sockets, self._heard)
        try:
            await connection.open()
        except UpstreamMissing as missing:
            self._failure = (time.monotonic(), str(missing))
            self._is_legacy_only = self._config.way is Transport.SSE  # what comes back may be a newer one
            self._is_modern_only = False
            raise
        self._failure = None
        return connection


def _is_fit(process: Connection | None) -> bool:
    """Whether a process can be given a call; if it is unclear and idle, no one could tell who asks."""
    return process is not None and process.wire.is_sound and (process.is_busy or not process.is_unclear)
