"""The addresses of an upstream's resources, wherever it writes them, as agents have to write them."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import mcp.types as mcp
from fastmcp.server.transforms.namespace import Namespace
from pydantic import AnyUrl

from atlas.upstreams.config import UpstreamConfig
from atlas.upstreams.templates import match_template
from atlas.upstreams.upstream import Upstream

ON_THE_WEB = ("http://", "https://")  # a client fetches these itself, unless the upstream lists them
UI, RESOURCE_URI = "ui", "resourceUri"  # in `_meta`: the page of a tool (MCP Apps)
OLD_RESOURCE_URI = "ui/resourceUri"
EVERYONE = ""  # in the place of an agent's name, which is never empty
MOST_NAMED = 1000  # addresses in results that are remembered of one upstream


class Prefixed(Namespace):
    """Gives what an upstream offers its prefix; every kind of address too, and not only `scheme://`."""

    def __init__(self, config: UpstreamConfig) -> None:
        super().__init__(config.prefix)
        self._config = config

    def _transform_uri(self, uri: str) -> str:
        return self._config.uri_here(uri)

    def _reverse_uri(self, uri: str) -> str | None:
        there = self._config.uri_there(uri)
        return there if self._config.uri_here(there) == uri else None


def content_here(upstream: Upstream, blocks: Sequence[Any], reader: str | None = None) -> list[Any]:
    """The parts of an answer, with links and embedded resources under the addresses that agents can read.

    `reader` is the agent that may read from now on what is named there (EVERYONE: all; None: no one).
    """
    return [_block(upstream, block, reader) for block in blocks]


def meta_here(upstream: Upstream, said: dict[str, Any], reader: str | None = None) -> dict[str, Any]:
    """The `_meta` of an upstream, with the address of a page of its own (MCP Apps) as agents can read it."""
    page = said.get(UI)
    meta = dict(said)
    if isinstance(page, dict) and isinstance(page.get(RESOURCE_URI), str):
        meta[UI] = page | {RESOURCE_URI: _here(upstream, page[RESOURCE_URI], reader)}
    if isinstance(said.get(OLD_RESOURCE_URI), str):
        meta[OLD_RESOURCE_URI] = _here(upstream, said[OLD_RESOURCE_URI], reader)
    return meta


def named_to(upstream: Upstream, reader: str) -> list[str]:
    """The addresses that were named to an agent, and those that the lists name to all."""
    return [uri for whose, uri in upstream.named if whose in (reader, EVERYONE)]


def find_address(config: UpstreamConfig, known: Collection[str], uri: str) -> str | None:
    """The one of known addresses that is meant: some clients write an address in another way, as URLs are."""
    if uri in known:
        return uri
    here = config.uri_here(uri)
    return next((one for one in known if _as_url(config.uri_here(one)) == here), None)


@lru_cache(maxsize=4096)
def _as_url(uri: str) -> str:
    try:
        return str(AnyUrl(uri))
    except ValueError:
        return uri


def _block(upstream: Upstream, block: Any, reader: str | None) -> Any:
    if isinstance(block, mcp.ResourceLink):
        changed = {"uri": _here(upstream, str(block.uri), reader)}
        return block.model_copy(update=changed | _meta_of(upstream, block, reader))
    if isinstance(block, mcp.EmbeddedResource):
        inside = block.resource
        changed = {"uri": _here(upstream, str(inside.uri), reader)}
        resource = inside.model_copy(update=changed | _meta_of(upstream, inside, reader))
        return block.model_copy(update={"resource": resource} | _meta_of(upstream, block, reader))
    return block


def _meta_of(upstream: Upstream, thing: Any, reader: str | None) -> dict[str, Any]:
    return {"meta": meta_here(upstream, thing.meta, reader)} if thing.meta else {}


def _here(upstream: Upstream, uri: str, reader: str | None) -> str:
    if uri.lower().startswith(ON_THE_WEB) and not _is_listed(upstream, uri):
        return uri
    if reader is not None:
        upstream.named.pop((reader, uri), None)
        upstream.named[reader, uri] = None
        if len(upstream.named) > MOST_NAMED:
            upstream.named.pop(next(iter(upstream.named)))
    return upstream.config.uri_here(uri)


def _is_listed(upstream: Upstream, uri: str) -> bool:
    offer = upstream.offer
    return offer is not None and (
        any(str(one.uri) == uri for one in offer.resources)
        or any(match_template(one.uri_template, uri) is not None for one in offer.templates)
    )
