"""A tool as it is now: the object that would run, with its definition, and what it says of itself."""

from typing import TYPE_CHECKING, Any, NamedTuple

from atlas.assessors import ToolFacts
from atlas.cases.definitions import Definition, definition_of
from atlas.models import TRUST_META, UPSTREAM_META

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from fastmcp.tools import Tool


class Present(NamedTuple):
    """A tool and its definition; neither, if it is not there."""

    tool: "Tool | None"
    definition: Definition | None

    @property
    def sha256(self) -> str | None:
        """The digest of the definition."""
        return self.definition.sha256 if self.definition else None


NOT_THERE = Present(None, None)


def as_it_is(tool: "Tool | None") -> Present:
    """The tool with its definition, which is made once for all who look at it now."""
    return NOT_THERE if tool is None else Present(tool, definition_of(tool))


def fit_to_show(tool: "Tool | None") -> Present:
    """The same, unless its definition has grown too long to be shown to a person: it counts as gone then."""
    present = as_it_is(tool)
    return NOT_THERE if present.definition and present.definition.is_too_long else present


def facts_of(present: Present, tool_name: str) -> ToolFacts:
    """What a tool says of itself."""
    tool = present.tool
    if tool is None:
        return ToolFacts(name=tool_name)
    hints, meta = tool.annotations, tool.meta or {}
    upstream = meta.get(UPSTREAM_META)
    return ToolFacts(
        name=tool_name,
        definition_sha256=present.sha256,
        upstream=str(upstream) if upstream else None,
        description=tool.description or "",
        is_read_only=hints.read_only_hint if hints else None,
        is_destructive=hints.destructive_hint if hints else None,
        is_idempotent=hints.idempotent_hint if hints else None,
        is_open_world=hints.open_world_hint if hints else None,
        tags=tuple(sorted(tool.tags)),
        trust=meta.get(TRUST_META) if upstream else None,
    )


def facts_of_definition(tool_name: str, sha256: str, said: dict[str, Any]) -> ToolFacts:
    """The same by a definition on record, which holds no tags."""
    hints = said.get("annotations") or {}
    return ToolFacts(
        name=tool_name,
        definition_sha256=sha256,
        upstream=said.get("upstream"),
        description=said.get("description") or "",
        is_read_only=hints.get("readOnlyHint"),
        is_destructive=hints.get("destructiveHint"),
        is_idempotent=hints.get("idempotentHint"),
        is_open_world=hints.get("openWorldHint"),
    )


async def tool_facts(server: "FastMCP", tool_name: str) -> ToolFacts:
    """What a tool of a server says of itself; a tool that is not there says nothing."""
    return facts_of(as_it_is(await server.get_tool(tool_name)), tool_name)
