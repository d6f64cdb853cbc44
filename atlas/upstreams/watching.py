"""Following an upstream: its lists, and the resources that agents follow, on the connection that is held."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from mcp import ClientSession, MCPError
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.subscriptions import ResourceUpdated
from mcp_types import METHOD_NOT_FOUND
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from atlas.background import in_background

REST_SECONDS = 1.0  # after a stream that the upstream refused or ended, in which no other is opened
SUBSCRIBE_SECONDS = 30.0  # within which an upstream has to answer

logger = logging.getLogger(__name__)


class Watching:
    """Keeps an upstream informed of which of its resources are followed, in the way of its era."""

    def __init__(self, *, lists_changed: Callable[[], None]) -> None:
        self.updated: Callable[[str], Awaitable[None]] | None = None  # called with a URI of the upstream
        self._lists_changed = lists_changed
        self._wanted: frozenset[str] = frozenset()
        self._is_other = asyncio.Event()  # other resources are wanted than those the upstream knows of

    def follow(self, uris: frozenset[str]) -> None:
        """Follow these of its resources and no others."""
        if uris != self._wanted:
            self._wanted = uris
            self._is_other.set()

    @asynccontextmanager
    async def on(self, session: ClientSession) -> AsyncIterator[None]:
        """Follow on a connection for as long as it is held."""
        is_modern = session.protocol_version in MODERN_PROTOCOL_VERSIONS
        async with in_background(partial(self._listen if is_modern else self._subscribe, session)):
            yield

    async def hear(self, uri: str) -> None:
        """Pass on that a resource changed, if it is followed."""
        if self.updated is not None and uri in self._wanted:
            await self.updated(uri)

    async def _subscribe(self, session: ClientSession) -> None:
        known: frozenset[str] = frozenset()
        while True:
            self._is_other.clear()
            wanted = self._wanted
            for uri in known - wanted:
                await self._tell(session.unsubscribe_resource(uri))
            for uri in wanted - known:
                await self._tell(session.subscribe_resource(uri))
            known = wanted
            await self._is_other.wait()

    async def _tell(self, request: Awaitable[Any]) -> None:
        try:
            await asyncio.wait_for(request, SUBSCRIBE_SECONDS)
        except (MCPError, asyncio.TimeoutError) as error:
            # It has no subscriptions: the agent may still read the resource, and is told of no change.
            logger.info("An upstream takes no subscription: %s", type(error).__name__)

    async def _listen(self, session: ClientSession) -> None:
        while True:
            self._is_other.clear()
            stream = asyncio.create_task(self._stream(session, self._wanted))
            other = asyncio.create_task(self._is_other.wait())
            try:
                await asyncio.wait((stream, other), return_when=asyncio.FIRST_COMPLETED)
                if stream.done():  # its lists are read again after a while in any case
                    await asyncio.wait((other,), timeout=REST_SECONDS)
            finally:
                for task in (stream, other):
                    task.cancel()
                await asyncio.gather(stream, other, return_exceptions=True)

    async def _stream(self, session: ClientSession, uris: frozenset[str]) -> None:
        try:
            async with listen(
                session,
                tools_list_changed=True,
                prompts_list_changed=True,
                resources_list_changed=True,
                resource_subscriptions=sorted(uris),
            ) as events:
                async for event in events:
                    if isinstance(event, ResourceUpdated):
                        await self.hear(event.uri)
                    else:
                        self._lists_changed()
        except MCPError as error:
            logger.info("An upstream refuses subscriptions: %s", error.error.code)
            if error.error.code == METHOD_NOT_FOUND:
                await self._is_other.wait()  # it will not know it later either
        except SubscriptionLost as error:
            logger.info("An upstream ended the stream of its changes: %s", type(error).__name__)
            self._lists_changed()  # it may have been said meanwhile
