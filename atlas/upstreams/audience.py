"""The agents that have seen a list, and are told when it changes."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import Tool
from mcp.server.connection import Connection


class Audience(Middleware):
    """Remembers the connections on which tools were listed, for as long as they are open."""

    def __init__(self) -> None:
        self._connections: WeakSet[Connection] = WeakSet()

    async def on_list_tools(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Sequence[Tool]]
    ) -> Sequence[Tool]:
        """Remember who asks, where the gateway can speak first, which it cannot in the stateless protocol."""
        request = context.fastmcp_context.request_context if context.fastmcp_context else None
        connection = getattr(request.session, "_connection", None) if request else None
        if connection is not None and connection.has_standalone_channel:
            self._connections.add(connection)
        return await call_next(context)

    async def tell(self) -> None:
        """Say that tools, resources and prompts may have changed."""
        for connection in list(self._connections):
            await connection.send_tool_list_changed()
            await connection.send_resource_list_changed()
            await connection.send_prompt_list_changed()
