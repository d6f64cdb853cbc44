"""One connected client of an upstream, and the calls that are open on it."""

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, cast

from fastmcp import Client
from fastmcp.exceptions import ToolError
from fastmcp.server.providers.proxy import (
    default_proxy_elicitation_handler,
    default_proxy_log_handler,
    default_proxy_progress_handler,
    default_proxy_roots_handler,
    default_proxy_sampling_handler,
)
from mcp import MCPError
from mcp.client.session import MessageHandlerFnT

from atlas.agents.asked_back import note_asked
from atlas.agents.stopping import stopped
from atlas.errors import AnswerLost, CallRefused, UpstreamMissing
from atlas.upstreams.config import Transport, UpstreamConfig
from atlas.upstreams.processes import ProcessTransport
from atlas.upstreams.web import Sockets, WebTransport, reason_of
from atlas.upstreams.wires import RelaySession, Wire, sent_calls

CONNECT_SECONDS = 30.0  # for a program that has to be fetched first, as npx does

STOP_SECONDS = 5.0  # for which a server that was told of a stop is waited for
STOPPED = "its agent stopped it while it was at work"

Answer = TypeVar("Answer")


class Connection:
    """One connected client, with the calls that are open on it."""

    def __init__(self, config: UpstreamConfig, mode: str, sockets: Sockets, heard: MessageHandlerFnT) -> None:
        self.mode = mode
        self.wire = Wire()
        self.used_at = time.monotonic()
        self.is_unclear = False  # a call was given up on it, and what it asks now may belong to that call
        self.is_retired = False  # it is ended on purpose, and another takes its place
        self._is_inside = config.trust == "inside"
        self._calls: list[contextvars.Context] = []
        transport = (
            ProcessTransport(config, self.wire)
            if config.way is Transport.STDIO
            else WebTransport(config, self.wire, sockets)
        )
        self.client: Client[Any] = Client(
            transport,
            mode=mode,
            message_handler=heard,
            init_timeout=CONNECT_SECONDS,
            roots=self._asked(default_proxy_roots_handler),
            sampling_handler=self._asked(default_proxy_sampling_handler, kind="sampling"),
            elicitation_handler=self._asked(default_proxy_elicitation_handler, kind="elicitation"),
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
        """End it, even with open calls on it; in a task of its own, because it swallows a cancellation."""
        await asyncio.shield(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        with suppress(Exception):  # what it failed of is raised again here, and is known
            await self.client.close()  # type: ignore[no-untyped-call]

    async def request(self, ask: Callable[[Client[Any]], Coroutine[Any, Any, Answer]]) -> Answer:
        """Ask something, and raise ConnectionError at once when the connection ends before the answer."""
        sent: list[int] = []
        context = contextvars.copy_context()
        context.run(sent_calls.set, sent)
        asked = context.run(asyncio.ensure_future, ask(self.client))
        ended = asyncio.ensure_future(self.wire.ended.wait())
        try:
            if await _is_stopped_before(asked, ended):
                await self._stop(asked, ended, sent)
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

    async def _stop(self, asked: asyncio.Future[Any], ended: asyncio.Future[Any], sent: list[int]) -> None:
        """Tell the server that its call is stopped, and raise AnswerLost unless it answers all the same."""
        if self.client.initialize_result is not None:  # else it is told by the end of the request
            await cast(RelaySession, self.client.session).stop_calls(sent)
            await asyncio.wait((asked, ended), timeout=STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done() or isinstance(asked.exception(), MCPError):  # an error says that it was stopped
            raise AnswerLost(reason=STOPPED)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Callable[..., Coroutine[Any, Any, None]]]:
        """Let what the upstream says and asks belong to the caller, while it is the only one; yield what
        takes reports of progress, which belong to one call in any case."""
        context = contextvars.copy_context()
        self._calls.append(context)
        self.wire.begin()

        async def progress(*report: Any) -> None:
            await _in(context, default_proxy_progress_handler(*report))

        try:
            yield _quiet(progress)
        except (ToolError, MCPError, UpstreamMissing, CallRefused):
            raise  # an answer, or nothing was sent: the upstream is not at work for this call
        except BaseException:
            self.is_unclear = True
            raise
        finally:
            self._calls.remove(context)

    def _asked(
        self, answer: Callable[..., Coroutine[Any, Any, Any]], *, kind: str | None = None
    ) -> Callable[..., Awaitable[Any]]:
        """Hand a question on; `kind`: of one with words that the agent reads."""

        async def asked(*question: Any) -> Any:
            if len(self._calls) != 1 or self.is_unclear:
                raise ConnectionError("The gateway cannot tell whose agent is asked.")
            if kind is not None and not self._is_inside:
                await note_asked(self._calls[0], kind)
            return await _in(self._calls[0], answer(*question))

        return asked

    def _told(self, tell: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Awaitable[None]]:
        async def told(*news: Any) -> None:
            # Else it would be told to another agent.
            if len(self._calls) == 1 and not self.is_unclear:
                await _in(self._calls[0], tell(*news))

        return _quiet(told)


async def _is_stopped_before(asked: asyncio.Future[Any], ended: asyncio.Future[Any]) -> bool:
    """Wait for an answer or the end of the connection, and say whether the agent's stop came before."""
    stop = stopped.get()
    if stop is None:
        await asyncio.wait((asked, ended), return_when=asyncio.FIRST_COMPLETED)
        return False
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((asked, ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        return not asked.done() and not ended.done()
    finally:
        stopping.cancel()


async def _in(context: contextvars.Context, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Do some work as if it were part of a call, so that it finds that call's agent."""
    return await context.run(asyncio.ensure_future, work)


def _quiet(tell: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Tell, but drop what cannot be told: no one waits, or the agent is gone."""

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
