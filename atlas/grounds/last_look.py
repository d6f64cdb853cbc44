"""The last look at a tool: what FastMCP is about to run is what was approved.

It is taken on the very object that FastMCP runs; no one sees what a server does behind its definition.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from fastmcp.exceptions import NotFoundError, ToolError
from fastmcp.server.transforms import GetToolNext, Transform
from fastmcp.tools import Tool
from fastmcp.utilities.versions import VersionSpec

from atlas.cases.definitions import definition_of


@dataclass
class LastLook:
    """The tool that is about to be called, and whether it was found to be the approved one."""

    tool_name: str
    definition_sha256: str | None  # None: approved before definitions were recorded
    confirm: Callable[[], Awaitable[None]]  # raises where another process may have taken over the case
    is_passed: bool = False  # until then the tool has certainly not been called


last_look: ContextVar[LastLook | None] = ContextVar("last_look", default=None)


class AsApproved(Transform):
    """Takes the last look: the tool that is about to run is the one that was approved."""

    async def get_tool(
        self, name: str, call_next: GetToolNext, *, version: VersionSpec | None = None
    ) -> Tool | None:
        """The tool as it is; raises ToolError or NotFoundError if a call is about to get another one."""
        tool, look = await call_next(name, version=version), last_look.get()
        if look is None or look.is_passed or look.tool_name != name:
            return tool
        if tool is None:  # FastMCP would look for it under its other names
            raise NotFoundError(f"Unknown tool: {name!r}")
        if look.definition_sha256 not in (None, definition_of(tool).sha256):
            raise ToolError(f"The tool {name} changed in the moment before its call.")
        await look.confirm()
        look.is_passed = True
        return tool
