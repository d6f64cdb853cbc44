"""Subscriptions to resources: agents are told when a case of theirs changes, in both eras of MCP.

Clients that shake hands subscribe with resources/subscribe and are told on their standing stream; clients of
2026-07-28 open a stream with subscriptions/listen. Neither outlives its connection: a client that comes back
subscribes again and reads the resource.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.dependencies import bind_request_context
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent
from mcp.types import (
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)
from mcp_types import INVALID_PARAMS, INVALID_REQUEST

from atlas.agents.keys import current_principal
from atlas.agents.receipt import own_case
from atlas.agents.resources import PREFIX, uri_of
from atlas.cases.store import CaseStore
from atlas.models import Case, Status

MOST_SUBSCRIPTIONS = 1000  # of one connection
MOST_STREAMS = 100  # of one agent
NOTIFY_SECONDS = 2.0  # a connection that takes nothing for so long is told nothing more

Request = ServerRequestContext[Any, Any]
Standing = tuple[Status, int]

logger = logging.getLogger(__name__)


def standing(case: Case) -> Standing:
    """Where a case stands, for those who follow it: its state, and how much its agent is asked."""
    return case.status, len(case.open_questions)


class Subscriptions:
    """Who wants to know of which resource; only what the subscriber may read can be subscribed to."""

    def __init__(self, server: FastMCP, store: CaseStore) -> None:
        self._server = server
        self._store = store
        self._bus = InMemorySubscriptionBus()
        self._listening = ListenHandler(self._bus)
        self._streams: Counter[str] = Counter()  # that are open, of each agent
        self._connections: dict[Connection, set[str]] = {}
        self._followers: Counter[str] = Counter()
        self.on_followed: Callable[[frozenset[str]], None] | None = None  # called with all that is followed
        self._told: dict[str, Standing] = {}  # what the followers of a case know
        self._telling: set[asyncio.Task[None]] = set()
        store.listeners.append(self.tell)
        store.elsewhere.shows.append(self)
        self._register()

    def _register(self) -> None:
        low = self._server._mcp_server  # FastMCP has no subscriptions of its own
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
        low.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)

    async def publish(self, event: ServerEvent) -> None:
        """Tell all who asked for it: a changed resource, or a changed list."""
        await self._bus.publish(event)
        if isinstance(event, ResourceUpdated):
            following = [connection for connection, uris in self._connections.items() if event.uri in uris]
            await asyncio.gather(*(self._notify(connection, event.uri) for connection in following))

    def close(self) -> None:
        """End the open streams, so that their clients know that it was meant."""
        self._listening.close()
        for task in self._telling:
            task.cancel()

    async def _subscribe(self, context: Request, params: SubscribeRequestParams) -> EmptyResult:
        uri, connection = str(params.uri), context.session._connection
        with bind_request_context(context):
            if not await self._may_follow(uri):
                message = f"Resource not found: {uri!r}"
                raise MCPError(code=INVALID_PARAMS, message=message, data={"uri": uri})
        if connection not in self._connections:
            connection.exit_stack.callback(self._forget, connection)
        uris = self._connections.setdefault(connection, set())
        if uri not in uris and len(uris) >= MOST_SUBSCRIPTIONS:
            raise MCPError(code=INVALID_PARAMS, message=f"At most {MOST_SUBSCRIPTIONS} subscriptions.")
        if uri not in uris:
            uris.add(uri)
            self._followers[uri] += 1
            self._tell_followed()
            self._spawn(self._catch_up([uri]))
        return EmptyResult()

    async def _unsubscribe(self, context: Request, params: UnsubscribeRequestParams) -> EmptyResult:
        uri, uris = str(params.uri), self._connections.get(context.session._connection, set())
        if uri in uris:
            uris.remove(uri)
            self._unfollow(uri)
        return EmptyResult()

    async def _listen(
        self, context: Request, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        asked = params.notifications.resource_subscriptions or []
        with bind_request_context(context):
            uris = [uri for uri in asked[:MOST_SUBSCRIPTIONS] if await self._may_follow(uri)]
            principal = current_principal()
        honored = params.notifications.model_copy(update={"resource_subscriptions": uris or None})
        with self._streaming(principal), self._following(uris):
            self._spawn(self._catch_up(uris))  # runs when the stream below is there and waits for its client
            return await self._listening(context, params.model_copy(update={"notifications": honored}))

    @contextmanager
    def _streaming(self, principal: str) -> Iterator[None]:
        """Count the open streams of an agent, so that no agent uses up the streams of all."""
        if self._streams[principal] >= MOST_STREAMS:
            raise MCPError(code=INVALID_REQUEST, message=f"At most {MOST_STREAMS} open streams.")
        self._streams[principal] += 1
        try:
            yield
        finally:
            self._streams[principal] -= 1

    async def _catch_up(self, uris: list[str]) -> None:
        """Tell what changed between the check that the subscriber may follow and the moment when it did."""
        for uri in uris:
            if uri.startswith(PREFIX):
                self.tell(await self._store.read(uri.removeprefix(PREFIX)))

    async def _may_follow(self, uri: str) -> bool:
        """Whether the agent of the present request may read a resource; a case's state is noted."""
        if not uri.startswith(PREFIX):
            found = await self._server.get_resource(uri) or await self._server.get_resource_template(uri)
            return found is not None
        case = await own_case(self._store, uri.removeprefix(PREFIX))
        if case is None:
            return False
        self._told.setdefault(uri, standing(case))
        return True

    @contextmanager
    def _following(self, uris: list[str]) -> Iterator[None]:
        self._followers.update(uris)
        self._tell_followed()
        try:
            yield
        finally:
            for uri in uris:
                self._unfollow(uri)

    def _unfollow(self, uri: str) -> None:
        self._followers[uri] -= 1
        if self._followers[uri] <= 0:
            del self._followers[uri]
            self._told.pop(uri, None)
            self._tell_followed()

    def _tell_followed(self) -> None:
        if self.on_followed is not None:
            self.on_followed(frozenset(self._followers))

    def _forget(self, connection: Connection) -> None:
        for uri in self._connections.pop(connection, set()):
            self._unfollow(uri)

    def follows(self, case_id: str) -> bool:
        """Whether an agent follows a case."""
        return f"{PREFIX}{case_id}" in self._followers

    def followed(self) -> Iterator[str]:
        """The cases that agents follow."""
        return (uri.removeprefix(PREFIX) for uri in self._followers if uri.startswith(PREFIX))

    def tell(self, case: Case) -> None:
        """Tell those who follow a case that it changed."""
        uri = uri_of(case)
        if uri not in self._followers or self._told.get(uri) == standing(case):
            return
        self._told[uri] = standing(case)
        self._spawn(self.publish(ResourceUpdated(uri)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _notify(self, connection: Connection, uri: str) -> None:
        try:
            told = connection.notify("notifications/resources/updated", {"uri": uri})
            await asyncio.wait_for(told, NOTIFY_SECONDS)
        except Exception as error:  # a time-out above all: it does not read
            logger.info("A subscriber cannot be told; its subscriptions end: %s", type(error).__name__)
            self._forget(connection)
