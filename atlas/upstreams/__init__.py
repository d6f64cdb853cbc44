"""The servers behind the gateway: each is reached, watched and offered to agents under a prefix.

A gateway without such servers does not import what reaches them: FastMCP's client takes a tenth of a start.
A command that only reads the file does not import FastMCP at all.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas.settings import Settings, variables
from atlas.upstreams.config import GRACE_SECONDS, UpstreamConfig, read_upstreams

if TYPE_CHECKING:
    from fastmcp import FastMCP

    from atlas.upstreams.provider import UpstreamProvider
    from atlas.upstreams.upstream import Upstream

__all__ = ["Upstreams", "unknown_tool"]

END_SECONDS = 2 * GRACE_SECONDS + 4
MOST_ODDITIES = 50  # of one server, in a report
START_SECONDS = 4.0  # for which the start of the gateway waits for servers; they may come later


async def _end(run: asyncio.Task[None]) -> None:
    while not run.done():  # libraries on the way may swallow a cancellation
        run.cancel()
        await asyncio.wait((run,), timeout=END_SECONDS)  # a second one would come between it and its process


def _each(
    configs: tuple[UpstreamConfig, ...],
    changed: Callable[[], Coroutine[Any, Any, None]],
    data: Path | None,
) -> "list[Upstream]":
    if not configs:
        return []
    from atlas.upstreams.upstream import Upstream

    return [Upstream(config, changed, data=data) for config in configs]


def unknown_tool(tool_name: str) -> Exception:
    """What to raise for a tool that no one offers."""
    from fastmcp.exceptions import NotFoundError

    return NotFoundError(f"Unknown tool: {tool_name!r}")


class Upstreams:
    """Every server of the MCP configuration, in the order of the file."""

    def __init__(self, configs: tuple[UpstreamConfig, ...], *, data: Path | None = None) -> None:
        from atlas.upstreams.audience import Audience

        self._own: frozenset[str] = frozenset()
        self._owners: dict[str, str] = {}  # of the names of tools
        self._is_settled = False  # the start is over, during which the order of the file decides about names
        self._audience = Audience(lambda: [one.missing for one in self.all if one.missing])
        self._providers: dict[str, UpstreamProvider] = {}
        self._listeners: list[Callable[[], Awaitable[None]]] = []
        self.all = _each(configs, self._changed, data)

    @classmethod
    def of(cls, settings: Settings) -> "Upstreams":
        """Those that the settings name; raises UpstreamsInvalid."""
        return cls(read_upstreams(settings.atlas_mcp_config, variables()), data=settings.atlas_data_dir)

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called in the file."""
        return tuple(one.name for one in self.all)

    def mount(
        self, server: "FastMCP", *, refusal: Callable[[str], Awaitable[str | None]] | None = None
    ) -> None:
        """Offer on a server what they offer, and tell its agents when that changes.

        `refusal` says why an agent may not use a server beside its tools, which the path governs.
        """
        server.add_middleware(self._audience)
        if not self.all:
            return
        from atlas.upstreams.addresses import Prefixed
        from atlas.upstreams.completions import add_completions
        from atlas.upstreams.provider import UpstreamProvider

        for upstream in self.all:
            upstream.refusal = refusal or upstream.refusal
            provider = self._providers[upstream.name] = UpstreamProvider(upstream, self._is_free)
            is_prefixed = bool(upstream.config.prefix)
            server.add_provider(
                provider.wrap_transform(Prefixed(upstream.config)) if is_prefixed else provider
            )
        add_completions(server)

    def on_change(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Have something awaited whenever what they offer has changed."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def open(self, server: "FastMCP") -> AsyncIterator[None]:
        """Reach them all, wait a moment for those that answer, and let go of them at the end."""
        self._own = frozenset(tool.name for tool in await server.local_provider.list_tools())
        for upstream in self.all:
            upstream.known.clear()
        runs = [asyncio.create_task(upstream.run()) for upstream in self.all]
        try:
            if runs:
                known = [asyncio.create_task(upstream.known.wait()) for upstream in self.all]
                _, slow = await asyncio.wait(known, timeout=START_SECONDS)
                for wait in slow:
                    wait.cancel()
            self._is_settled = True
            yield
        finally:
            self._is_settled = False
            await asyncio.gather(*(_end(run) for run in runs))
            await asyncio.gather(*(upstream.close() for upstream in self.all), return_exceptions=True)

    def unknown(self, tool_name: str) -> Exception:
        """What to raise for a tool that no one offers: why, if a server that may have it is missing."""
        from fastmcp.exceptions import ToolError

        for upstream in self.all:
            prefix = upstream.config.prefix
            if upstream.missing and (tool_name.startswith(f"{prefix}_") or not prefix):
                return ToolError(upstream.missing)
        return unknown_tool(tool_name)

    def owner_of(self, tool_name: str) -> str | None:
        """The name of the server whose tool it is now; empty: the gateway's own, None: of none."""
        return self._owners.get(tool_name, "" if tool_name in self._own else None)

    def report(self) -> dict[str, dict[str, Any]]:
        """Each server, with what is wrong with it."""
        return {upstream.name: self._state(upstream) for upstream in self.all}

    def _state(self, upstream: "Upstream") -> dict[str, Any]:
        problem = upstream.problem or "; ".join(self._lost(upstream)) or None
        oddities = self._oddities(upstream)
        return (
            {"ok": problem is None}
            | ({"problem": problem} if problem else {})
            | ({"oddities": oddities[:MOST_ODDITIES]} if oddities else {})
        )

    def _lost(self, upstream: "Upstream") -> list[str]:
        """What it has and agents do not get, although it can be reached."""
        hidden = self._hidden(upstream)
        lines = [str(one) for one in upstream.offer.missing] if upstream.offer else []
        if hidden:
            lines.append(f"its tools {', '.join(hidden)} are hidden, because others have their names")
        return lines

    def _oddities(self, upstream: "Upstream") -> list[str]:
        """What is unusual about what it offers, with what the gateway does about it."""
        if upstream.offer is None or upstream.name not in self._providers:
            return []
        return [*upstream.offer.left_out, *self._providers[upstream.name].oddities()]

    def _hidden(self, upstream: "Upstream") -> list[str]:
        names = sorted(self._names(upstream))
        return [upstream.config.name_of(name) for name in names if not self._is_free(upstream, name)]

    def _names(self, upstream: "Upstream") -> set[str]:
        offered = upstream.offer.tools if upstream.offer else ()
        return {tool.name for tool in offered if upstream.config.tools.allows(tool.name)}

    @property
    def _prefixes(self) -> tuple[str, ...]:
        """How the names of those with a prefix begin, which one without cannot take."""
        return tuple(f"{one.config.prefix}_" for one in self.all if one.config.prefix)

    def _is_free(self, upstream: "Upstream", name_there: str) -> bool:
        """Whether a name was left for an upstream's tool by the gateway and by the servers before it."""
        return self._owners.get(upstream.config.name_of(name_there)) == upstream.name

    async def _changed(self) -> None:
        offers = {
            upstream.name: {upstream.config.name_of(name) for name in self._names(upstream)}
            for upstream in self.all
        }
        held = self._owners if self._is_settled else {}  # a name stays with its owner that still offers it
        self._owners = {name: owner for name, owner in held.items() if name in offers.get(owner, ())}
        self._owners |= dict.fromkeys(self._own, "")  # which no server is called
        for upstream in self.all:
            for name in offers[upstream.name]:
                if upstream.config.prefix or not name.startswith(self._prefixes):
                    self._owners.setdefault(name, upstream.name)
        await self._audience.tell()
        for listener in self._listeners:
            await listener()
