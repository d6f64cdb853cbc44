"""All that an upstream offers, under the names that agents know."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import mcp.types as mcp
from fastmcp.prompts import Prompt
from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.server.providers import Provider
from fastmcp.tools import Tool
from fastmcp.utilities.versions import VersionSpec

from atlas.upstreams.addresses import find_address
from atlas.upstreams.lists import Offer, field_of, left_out
from atlas.upstreams.offered import (
    UpstreamTool,
    build_prompt,
    build_resource,
    build_template,
    build_tool,
    is_ours,
    remarks_on,
)
from atlas.upstreams.upstream import Upstream

logger = logging.getLogger(__name__)


class UpstreamProvider(Provider):
    """Offers what an upstream offered last, under the names that are left to it."""

    def __init__(self, upstream: Upstream, is_free: Callable[[Upstream, str], bool]) -> None:
        super().__init__()
        self._upstream = upstream
        self._is_free = is_free
        self._built_of: Offer | None = None
        self._left_out: list[str] = []
        self._remarked: tuple[Offer | None, list[str]] | None = None
        self._tools: list[Tool] = []
        self._resources: list[Resource] = []
        self._templates: list[ResourceTemplate] = []
        self._prompts: list[Prompt] = []

    async def _list_tools(self) -> Sequence[Tool]:
        self._build()
        return [tool for tool in self._tools if self._is_free(self._upstream, tool.name)]

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        if self._upstream.config.prefix:
            await self._upstream.known.wait()  # no one else can have it, so it is worth waiting for
        return next((tool for tool in await self._list_tools() if tool.name == name), None)

    async def _list_resources(self) -> Sequence[Resource]:
        self._build()
        return self._resources

    async def _get_resource(self, uri: str, version: VersionSpec | None = None) -> Resource | None:
        listed = {str(one.uri): one for one in await self._list_resources()}
        found = find_address(self._upstream.config, listed, uri)
        if found is not None:
            return listed[found]
        # One that a tool named; without a prefix it could be another server's.
        named = find_address(self._upstream.config, self._upstream.named, uri)
        if named is None or not self._upstream.config.prefix or is_ours(named):
            return None
        return build_resource(self._upstream, mcp.Resource(uri=named, name=named))

    async def _list_resource_templates(self) -> Sequence[ResourceTemplate]:
        self._build()
        return self._templates

    async def _get_resource_template(
        self, uri: str, version: VersionSpec | None = None
    ) -> ResourceTemplate | None:
        templates = await self._list_resource_templates()
        return next((one for one in templates if one.matches(uri) is not None), None)

    async def _list_prompts(self) -> Sequence[Prompt]:
        self._build()
        return self._prompts

    async def _get_prompt(self, name: str, version: VersionSpec | None = None) -> Prompt | None:
        return next((one for one in await self._list_prompts() if one.name == name), None)

    def left_out(self) -> tuple[str, ...]:
        """A sentence for each thing that the upstream lists and agents do not get."""
        self._build()
        return tuple(self._left_out)

    def oddities(self) -> tuple[str, ...]:
        """A sentence for each thing that agents do not get, or that works in another way than expected."""
        return (*self.left_out(), *self._remarks())

    def _remarks(self) -> list[str]:
        offer = self._upstream.offer
        if self._remarked is None or self._remarked[0] is not offer:
            shown = [tool for tool in self._tools if isinstance(tool, UpstreamTool)]
            self._remarked = offer, [line for tool in shown for line in remarks_on(self._upstream, tool)]
        return self._remarked[1]

    def _build(self) -> None:
        offer = self._upstream.offer or Offer()
        if offer is self._built_of:
            return
        exposed = self._upstream.config.tools
        self._left_out = []
        self._tools = self._of(
            "tool", build_tool, [tool for tool in offer.tools if exposed.allows(tool.name)]
        )
        self._resources = self._of("resource", build_resource, offer.resources)
        self._templates = self._of("template", build_template, offer.templates)
        self._prompts = self._of("prompt", build_prompt, offer.prompts)
        self._built_of = offer

    def _of(self, kind: str, build: Callable[[Upstream, Any], Any], offered: Sequence[Any]) -> list[Any]:
        built: dict[str, Any] = {}
        for one in offered:
            try:
                component = build(self._upstream, one)
            except Exception as error:
                # One that cannot be described is left out and named, and the others are there.
                self._leave_out(kind, one, field_of(error))
                continue
            if component.key in built:
                self._leave_out(kind, one, "it is listed twice, and the first one counts")
            built.setdefault(component.key, component)
        return list(built.values())

    def _leave_out(self, kind: str, one: Any, why: str) -> None:
        line = left_out(kind, one.name, why)
        logger.warning("Of the server %s: %s", self._upstream.name, line)
        self._left_out.append(line)
