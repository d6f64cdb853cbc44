"""What agents learn about the list of tools: when it changes, and which servers are missing from it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import Tool
from mcp.server.connection import Connection

PLACE = "get_outcome"  # the gateway's own tool, which is always there
TELL_SECONDS = 2.0


class Audience(Middleware):
    """Remembers the connections on which tools were listed, for as long as they are open."""

    def __init__(self, missing: Callable[[], list[str]]) -> None:
        self._missing = missing
        self._connections: WeakSet[Connection] = WeakSet()

    async def on_list_tools(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Sequence[Tool]]
    ) -> Sequence[Tool]:
        """Remember who asks, if the gateway can speak first; in the stateless protocol it cannot."""
        request = context.fastmcp_context.request_context if context.fastmcp_context else None
        connection = getattr(request.session, "_connection", None) if request else None
        if connection is not None and connection.has_standalone_channel:
            self._connections.add(connection)
        tools = await call_next(context)
        missing = self._missing()
        if not missing:
            return tools
        # The list has no other place for it that reaches the model.
        note = "\n\nSome tools are missing from this list. " + " ".join(missing)
        return [_noted(tool, note) if tool.name == PLACE else tool for tool in tools]

    async def tell(self) -> None:
        """Say that tools, resources and prompts may have changed."""
        told = (asyncio.wait_for(_tell(connection), TELL_SECONDS) for connection in list(self._connections))
        await asyncio.gather(*told, return_exceptions=True)  # a client that does not listen is not waited for


async def _tell(connection: Connection) -> None:
    await connection.send_tool_list_changed()
    await connection.send_resource_list_changed()
    await connection.send_prompt_list_changed()


def _noted(tool: Tool, note: str) -> Tool:
    return tool.model_copy(update={"description": f"{tool.description or ''}{note}"})
