"""What agents follow of the upstreams: a resource that changes there is a resource that changed here."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from fastmcp import FastMCP
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

from atlas.upstreams import Upstreams

if TYPE_CHECKING:
    from atlas.upstreams.upstream import Upstream

LISTS = (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged())


class Followers(Protocol):
    """The agents' subscriptions."""

    on_followed: Callable[[frozenset[str]], None] | None  # called with all URIs that anyone follows

    async def publish(self, event: ServerEvent) -> None:
        """Tell all who follow it."""


class Following:
    """Subscribes at each upstream to what agents follow of it, and passes on what it says."""

    def __init__(self, server: FastMCP, upstreams: Upstreams, followers: Followers) -> None:
        self._server = server
        self._upstreams = upstreams
        self._publish: Callable[[ServerEvent], Awaitable[None]] = followers.publish
        self._newest: frozenset[str] = frozenset()
        self._finding: asyncio.Task[None] | None = None
        for upstream in upstreams.all:
            upstream.watching.updated = partial(self._updated, upstream)
        upstreams.on_change(self._lists_changed)
        if upstreams.all:
            followers.on_followed = self._followed

    def _followed(self, uris: frozenset[str]) -> None:
        self._newest = uris
        if self._finding is None or self._finding.done():
            self._finding = asyncio.create_task(self._find())

    async def _find(self) -> None:
        """Tell each upstream which of its resources are followed, until that is so for the newest list."""
        from atlas.upstreams.offered import UpstreamResource, UpstreamTemplate

        sought: frozenset[str] | None = None
        while sought != self._newest:
            sought = self._newest
            by_upstream: dict[Upstream, set[str]] = defaultdict(set)
            for uri in sought:
                found = await self._server.get_resource(uri) or await self._server.get_resource_template(uri)
                if isinstance(found, (UpstreamResource, UpstreamTemplate)):
                    by_upstream[found.upstream].add(found.upstream.config.uri_there(uri))
            for upstream in self._upstreams.all:
                upstream.watching.follow(frozenset(by_upstream[upstream]))

    async def _updated(self, upstream: "Upstream", uri_there: str) -> None:
        await self._publish(ResourceUpdated(upstream.config.uri_here(uri_there)))

    async def _lists_changed(self) -> None:
        for event in LISTS:
            await self._publish(event)
