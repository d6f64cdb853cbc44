"""One server behind the gateway: what it offers, whether it can be reached, and the calls that go to it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import mcp.types as mcp
from fastmcp import Client
from fastmcp.server.dependencies import get_context
from mcp import MCPError
from mcp.shared.inbound import x_mcp_header_map
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from atlas.agents.dialects import usable
from atlas.errors import AnswerLost, CallRefused, UpstreamMissing
from atlas.upstreams import relays
from atlas.upstreams.answers import refused
from atlas.upstreams.config import UpstreamConfig
from atlas.upstreams.connection import CONNECT_SECONDS, Connection
from atlas.upstreams.connections import Connections
from atlas.upstreams.lists import SILENT, Offer, read_offer
from atlas.upstreams.relays import Progress
from atlas.upstreams.watching import Watching

LIST_SECONDS = 30.0  # after which an upstream that says nothing is asked again what it offers
SETTLE_SECONDS = 0.05  # several changes that are announced together are read once
FIRST_REST, LONGEST_REST = 1.0, 15.0  # seconds between attempts to reach one that cannot be reached

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class Upstream:
    """Keeps what a server offers up to date, and what was known last while it cannot be reached."""

    def __init__(
        self,
        config: UpstreamConfig,
        changed: Callable[[], Coroutine[Any, Any, None]],
        *,
        data: Path | None = None,
    ) -> None:
        self.config = config
        self.offer: Offer | None = None
        self.problem: str | None = "it was not reached yet"
        self.named: dict[tuple[str, str], None] = {}  # who may read which address that it named
        self.known = asyncio.Event()  # nothing is to be waited for: the first attempt to reach it is over
        self.known.set()  # and before run() none is made
        self.refusal: Callable[[str], Awaitable[str | None]] = _refuse_nothing
        self._changed = changed
        self._connections = Connections(config, self._hear, data=data)
        self._stale = asyncio.Event()
        self.watching = Watching(lists_changed=self._stale.set)

    @property
    def name(self) -> str:
        """The name in the file."""
        return self.config.name

    @property
    def missing(self) -> str | None:
        """The sentence for those who ask for its tools, if it cannot be reached, or does not list them."""
        if self.problem:
            return f"The server {self.name} cannot be reached: {self.problem}."
        lost = [str(one) for one in self.offer.missing if one.list_name == "tools"] if self.offer else []
        return f"The server {self.name} can be reached, but {lost[0]}." if lost else None

    async def run(self) -> None:
        """Reach it, keep its lists, and reach it again whenever it is lost; ends when it is cancelled."""
        rest = FIRST_REST
        while True:
            try:
                await self._follow()
                continue
            except UpstreamMissing as missing:
                rest = min(rest * 2, LONGEST_REST) if self.problem else FIRST_REST
                self._lose(str(missing))
            except CallRefused:
                rest = FIRST_REST  # all its connections are in use: it may be there all the same
            except Exception as error:
                # After any error the server is missing, and the gateway goes on.
                logger.warning("The server %s cannot be followed: %s", self.name, type(error).__name__)
                self._lose(f"it cannot be understood ({type(error).__name__})")
                rest = LONGEST_REST
            self._stale.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stale.wait(), rest)  # a call that reached it ends the rest

    async def close(self) -> None:
        """Close its connections, and end its process."""
        await self._connections.close()

    async def call_tool(
        self, tool: mcp.Tool, arguments: dict[str, Any]
    ) -> mcp.CallToolResult | relays.InputRequired:
        """The answer. UpstreamMissing, CallRefused: nothing was done. AnswerLost: no one knows."""

        async def ask(
            connection: Connection, progress: Progress
        ) -> mcp.CallToolResult | relays.InputRequired:
            # A session fills these for tools that it has listed itself; the gateway reads lists by hand.
            connection.client.session._x_mcp_header_maps[tool.name] = x_mcp_header_map(tool.input_schema)
            return await connection.request(
                lambda client: relays.call_tool(client, tool.name, arguments, progress)
            )

        return await self._ask(ask)

    async def read_resource(self, uri: str) -> mcp.ReadResourceResult | relays.InputRequired:
        """Read a resource of the upstream."""
        return await self._ask_for(lambda client: relays.read_resource(client, uri))

    async def get_prompt(
        self, name: str, arguments: dict[str, Any]
    ) -> mcp.GetPromptResult | relays.InputRequired:
        """Render a prompt of the upstream."""
        return await self._ask_for(lambda client: relays.get_prompt(client, name, arguments))

    async def complete(
        self,
        ref: mcp.PromptReference | mcp.ResourceTemplateReference,
        argument: mcp.CompletionArgument,
        known: dict[str, str],
    ) -> mcp.Completion:
        """What the upstream suggests for an argument of its own, others being known."""
        about = {"name": argument.name, "value": argument.value}
        answer = await self._ask_for(lambda client: client.complete_mcp(ref, about, known or None))
        return answer.completion

    async def _ask_for(self, ask: Callable[[Client[Any]], Coroutine[Any, Any, Answer]]) -> Answer:
        """What no case governs; a call of a tool was looked at before it began."""
        refusal = await self.refusal(self.name)
        if refusal is not None:
            raise CallRefused(reason=refusal)
        return await self._ask(lambda one, _: one.request(ask))

    async def _ask(self, ask: Callable[[Connection, Progress], Coroutine[Any, Any, Answer]]) -> Answer:
        limit = self.config.seconds
        try:
            # Nothing may be awaited between the two: a process with no open call may be started again.
            async with self._connections.lend(front_mode()) as connection, connection.call() as progress:
                if self.problem:
                    self._stale.set()
                sent_at = time.monotonic()
                try:
                    return await asyncio.wait_for(ask(connection, progress), limit)
                except asyncio.TimeoutError:
                    waited = time.monotonic() - sent_at
                    raise AnswerLost(reason=f"it did not answer within {waited:.0f} seconds") from None
                except Exception as error:
                    raise refused(error, connection.wire) from error
        except UpstreamMissing as missing:
            self._lose(str(missing))
            raise UpstreamMissing(reason=self.missing) from missing
        except CallRefused as refusal:
            self._stale.set()  # its tools may be others by now
            reason = f"The server {self.name} did not take the call, and nothing was done: {refusal}."
            raise CallRefused(reason=reason) from refusal
        except AnswerLost as lost:
            self._stale.set()  # see whether it is still there
            reason = f"The server {self.name} got the call, and {lost}: it may have done it, or not."
            raise AnswerLost(reason=reason) from lost

    async def _follow(self) -> None:
        """Hold a connection and keep the lists; raises when it is lost, returns when it is replaced."""
        async with (
            self._connections.lend("auto") as connection,
            self.watching.on(connection.client.session),
        ):
            while not connection.is_retired:
                self._stale.clear()
                await self._refresh(connection)
                await self._until_stale(connection)

    async def _until_stale(self, connection: Connection) -> None:
        waits = [asyncio.ensure_future(one.wait()) for one in (self._stale, connection.wire.ended)]
        try:
            await asyncio.wait(waits, timeout=LIST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if connection.is_retired:
            return
        if not connection.wire.is_sound:
            raise UpstreamMissing(reason=connection.wire.reason)
        await self._connections.close_idle()
        await asyncio.sleep(SETTLE_SECONDS)

    async def _refresh(self, connection: Connection) -> None:
        try:
            reading = connection.request(lambda client: read_offer(client.session, self.offer))
            offer = await asyncio.wait_for(reading, CONNECT_SECONDS)
        except asyncio.TimeoutError:
            if not connection.is_busy:  # else it may be at work for an agent
                connection.wire.note_broken(SILENT)  # so that a process is started again
            raise UpstreamMissing(reason=SILENT) from None
        except (MCPError, ConnectionError, RuntimeError) as error:
            if connection.is_retired:
                return
            raise UpstreamMissing(reason=connection.wire.broken or _why_silent(error)) from None
        if not connection.wire.is_sound:  # what some of its lists were not read for
            raise UpstreamMissing(reason=connection.wire.reason)
        was_missing, self.problem = self.problem is not None, None
        if was_missing:
            logger.info("The server %s is there", self.name)
        is_new, self.offer = offer != self.offer, offer
        self.known.set()
        if is_new:
            self._log(offer)
            await self._changed()
            # What is worked out of a schema is kept; out of many of them it takes seconds.
            await asyncio.to_thread(_prepare, offer)

    def _log(self, offer: Offer) -> None:
        for line in (*offer.missing, *offer.left_out):
            logger.warning("Of the server %s: %s", self.name, line)

    def _lose(self, reason: str) -> None:
        if self.problem != reason:
            logger.warning("The server %s cannot be reached: %s", self.name, reason)
        self.problem = reason
        self.known.set()

    async def _hear(self, message: Any) -> None:
        """A change that the upstream announces, on any connection."""
        method = str(
            getattr(message, "method", None) or getattr(getattr(message, "root", None), "method", "")
        )
        if method.endswith("/list_changed"):
            self._stale.set()
        elif method == "notifications/resources/updated":
            await self.watching.hear(str(message.params.uri))


async def _refuse_nothing(server: str) -> str | None:
    return None


def _prepare(offer: Offer) -> None:
    for tool in offer.tools:
        usable(tool.input_schema)


def _why_silent(error: Exception) -> str:
    """Without the upstream's own words: agents, people and logs read this as the gateway's."""
    code = f"error {error.error.code}" if isinstance(error, MCPError) else type(error).__name__
    return f"{SILENT} ({code})"


def front_mode() -> str:
    """The era of the agent that waits for this call; any era, if no one waits."""
    try:
        request = get_context().request_context
    except RuntimeError:
        return "auto"
    is_legacy = request is not None and request.protocol_version not in MODERN_PROTOCOL_VERSIONS
    return "legacy" if is_legacy else "auto"
