"""Connected clients of one upstream: each call has one to itself, and it is used again while it is sound."""

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from fastmcp import Client
from fastmcp.server.providers.proxy import (
    default_proxy_elicitation_handler,
    default_proxy_log_handler,
    default_proxy_progress_handler,
    default_proxy_roots_handler,
    default_proxy_sampling_handler,
)
from mcp import MCPError
from mcp.client.session import MessageHandlerFnT

from atlas.errors import UpstreamMissing
from atlas.upstreams.config import UpstreamConfig, Way
from atlas.upstreams.processes import ProcessTransport
from atlas.upstreams.web import Sockets, WebTransport, reason_of
from atlas.upstreams.wires import Wire

CONNECT_SECONDS = 30.0  # for a program that has to be fetched first, as npx does
REST_SECONDS = 1.0  # after an attempt to connect that failed, in which no call makes another
MOST_CONNECTIONS = 16
IDLE_SECONDS = 60.0  # after which a connection that nobody used is closed
STALE_SECONDS = 5.0  # after which a session is asked whether it still exists before a call is sent on it

Answer = TypeVar("Answer")


class Connection:
    """One connected client, with the calls that are open on it."""

    def __init__(self, config: UpstreamConfig, mode: str, sockets: Sockets, heard: MessageHandlerFnT) -> None:
        self.mode = mode
        self.wire = Wire()
        self.used_at = time.monotonic()
        self._calls: list[contextvars.Context] = []
        transport = (
            ProcessTransport(config, self.wire)
            if config.way is Way.STDIO
            else WebTransport(config, self.wire, sockets)
        )
        self.client: Client[Any] = Client(
            transport,
            mode=mode,
            message_handler=heard,
            init_timeout=CONNECT_SECONDS,
            roots=self._asked(default_proxy_roots_handler),
            sampling_handler=self._asked(default_proxy_sampling_handler),
            elicitation_handler=self._asked(default_proxy_elicitation_handler),
            log_handler=self._told(default_proxy_log_handler),
        )

    @property
    def is_busy(self) -> bool:
        """Whether a call is open on it."""
        return bool(self._calls)

    async def open(self) -> None:
        """Connect, shake hands, and raise UpstreamMissing if that fails."""
        try:
            entering = self.client.__aenter__()  # type: ignore[no-untyped-call]
            await asyncio.wait_for(entering, CONNECT_SECONDS)
        except asyncio.TimeoutError:
            await self.close()
            raise UpstreamMissing(reason=f"it did not answer within {CONNECT_SECONDS:g} seconds") from None
        except Exception as error:
            await self.close()
            raise UpstreamMissing(reason=self.wire.unsent or self.wire.broken or _why(error)) from error

    async def close(self) -> None:
        """End it, whatever is open on it; in a task of its own, because it swallows a cancellation."""
        await asyncio.shield(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        with suppress(Exception):  # what it failed of is raised again here, and is known
            await self.client.close()  # type: ignore[no-untyped-call]

    async def request(self, ask: Callable[[Client[Any]], Coroutine[Any, Any, Answer]]) -> Answer:
        """Ask something, and raise ConnectionError at once when the connection ends before the answer."""
        asked = asyncio.ensure_future(ask(self.client))
        ended = asyncio.ensure_future(self.wire.ended.wait())
        try:
            await asyncio.wait((asked, ended), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():  # an answer may be here already, on a connection that ended behind it
                await asyncio.wait((asked,), timeout=0.1)
            if not asked.done():
                raise ConnectionError(self.wire.reason)
            return asked.result()
        finally:
            for task in (asked, ended):
                task.cancel()
            await asyncio.gather(asked, ended, return_exceptions=True)
            self.used_at = time.monotonic()

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Callable[..., Coroutine[Any, Any, None]]]:
        """Let what the upstream says and asks belong to the caller, while it is the only one; yield what
        takes reports of progress, which belong to one call in any case."""
        context = contextvars.copy_context()
        self._calls.append(context)

        async def progress(*report: Any) -> None:
            await _in(context, default_proxy_progress_handler(*report))

        try:
            yield _quiet(progress)
        finally:
            self._calls.remove(context)

    def _asked(self, answer: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*question: Any) -> Any:
            if len(self._calls) != 1:
                raise ConnectionError("The gateway cannot tell whose agent is asked.")
            return await _in(self._calls[0], answer(*question))

        return asked

    def _told(self, tell: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Awaitable[None]]:
        async def told(*news: Any) -> None:
            if len(self._calls) == 1:  # else it would be told to somebody else's agent
                await _in(self._calls[0], tell(*news))

        return _quiet(told)


class Connections:
    """Lends connections. Only one attempt to connect runs at a time, and none soon after one that failed."""

    def __init__(self, config: UpstreamConfig, heard: MessageHandlerFnT) -> None:
        self._config = config
        self._heard = heard
        self._sockets = Sockets()
        self._idle: list[Connection] = []
        self._shared: Connection | None = None  # the one process, whose calls run side by side
        self._closing: set[asyncio.Future[None]] = set()
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._connecting = asyncio.Lock()
        self._failure: tuple[float, str] | None = None
        self._is_legacy_only = config.way is Way.SSE
        self._is_modern_only = False

    @asynccontextmanager
    async def lend(self, mode: str) -> AsyncIterator[Connection]:
        """A sound connection, of the wanted era if that is spoken; UpstreamMissing if there is none."""
        if self._config.way is Way.STDIO:
            yield await self._process()
            return
        async with self._free:
            connection = await self._sound_idle(mode) or await self._connect(mode)
            try:
                yield connection
            except BaseException:
                # Cancelled or failed: an answer may still be under way on it, so nobody else gets it.
                self._discard(connection)
                raise
            if connection.wire.is_sound:
                self._idle.append(connection)
            else:
                self._discard(connection)

    async def close_idle(self, *, older_than: float = IDLE_SECONDS) -> None:
        """Close what nobody used for so many seconds, and what ended by itself."""
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
        """Close one while whoever used it goes on: a server that hangs may take its time."""
        closing = asyncio.ensure_future(connection.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _process(self) -> Connection:
        """The one process, started if it does not run."""
        if self._shared is None or not self._shared.wire.is_sound:
            async with self._connecting:
                if self._shared is None or not self._shared.wire.is_sound:
                    self._refuse_while_resting()
                    ended, self._shared = self._shared, None
                    if ended is not None:
                        await ended.close()
                    # In the era in which it can ask agents on the way: one process cannot speak both.
                    self._shared = await self._reach("legacy")
        return self._shared

    async def _sound_idle(self, mode: str) -> Connection | None:
        for connection in reversed(self._idle):
            if connection.mode == self._spoken(mode) and connection.wire.is_sound:
                self._idle.remove(connection)
                if time.monotonic() - connection.used_at < STALE_SECONDS or await _still_exists(connection):
                    return connection
                self._discard(connection)
        return None

    async def _connect(self, mode: str) -> Connection:
        async with self._connecting:
            self._refuse_while_resting()
            return await self._reach(self._spoken(mode))

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
            self._is_legacy_only = self._config.way is Way.SSE  # what comes back may be a newer one
            self._is_modern_only = False
            raise
        self._failure = None
        return connection


async def _still_exists(connection: Connection) -> bool:
    """Whether a session that nobody used for a while is still known there; a stateless one always is."""
    if connection.client.initialize_result is None:
        return True
    try:
        return await asyncio.wait_for(connection.request(lambda client: client.ping()), CONNECT_SECONDS)
    except Exception:
        return False  # whatever it is, another connection is made


async def _in(context: contextvars.Context, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Do some work as if it were part of a call, so that it finds that call's agent."""
    return await context.run(asyncio.ensure_future, work)


def _quiet(tell: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Tell, but drop what cannot be told: nobody waits, or the agent is gone."""

    async def told(*news: Any) -> None:
        try:
            await tell(*news)
        except Exception:
            return

    return told


def _why(error: BaseException) -> str:
    """Why a client could not connect: the innermost error of the chain that says anything."""
    seen: list[BaseException] = []
    pending: list[BaseException] = [error]
    while pending:
        one = pending.pop(0)
        seen.append(one)
        causes = [*getattr(one, "exceptions", ()), one.__cause__, one.__context__]
        pending += [cause for cause in causes if cause is not None and cause not in seen]
    for one in seen:
        if isinstance(one, FileNotFoundError):
            return "its command, or its working directory, was not found"
    silent = (asyncio.CancelledError, RuntimeError)
    telling = [
        one for one in reversed(seen) if not isinstance(one, silent) and not hasattr(one, "exceptions")
    ]
    return reason_of(telling[0]) if telling else reason_of(error)
