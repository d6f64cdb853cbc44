"""Which signals are an agent's stop of its call, and how a server that is at work for it hears of it.

`notifications/cancelled` is one in every version with a handshake. In 2026-07-28 the agent closes the answer
to its call instead; a connection that breaks looks the same there. Nothing else is a stop.
"""

import asyncio
from contextvars import ContextVar
from enum import Enum

from fastmcp.server.context import Context
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from atlas.agents.held_calls import has_left

# Set while an approved call is executed: its agent has stopped it.
stopped: ContextVar[asyncio.Event | None] = ContextVar("stopped", default=None)


class Stop(Enum):
    """How an agent stopped its call."""

    NOTIFIED = "notified"
    CLOSED = "closed"


async def stop_of(context: Context) -> Stop | None:
    """How the agent stopped the present request, which was cancelled; None if it was not the agent."""
    request = context.request_context
    if request is None:
        return None
    if request._srctx.session._request_outbound.cancel_requested.is_set():
        return Stop.NOTIFIED
    is_modern = request.protocol_version in MODERN_PROTOCOL_VERSIONS
    return Stop.CLOSED if is_modern and await has_left(context) else None
