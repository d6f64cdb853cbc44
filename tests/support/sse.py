"""Clients over SSE that may leave while an answer is on its way.

The SDK's reader gives such an answer to a session that is closed, and raises BrokenResourceError for it.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import anyio
from fastmcp.client.transports import SSETransport
from mcp import ClientSession

Made = TypeVar("Made")


@asynccontextmanager
async def left(entered: AbstractAsyncContextManager[Made]) -> AsyncIterator[Made]:
    """Enter a client of the SDK; an answer that comes while it is left is no error, one before is."""
    is_over = False
    try:
        async with entered as made:
            yield made
            is_over = True
    except Exception as error:
        if not is_over or not _is_late(error):
            raise


def _is_late(error: Exception) -> bool:
    """Whether it, or each part of it, is of an answer that came when the session was closed."""
    parts = getattr(error, "exceptions", ())
    return all(map(_is_late, parts)) if parts else isinstance(error, anyio.BrokenResourceError)


class LeavingTransport(SSETransport):
    """FastMCP's transport, which a client may leave at any time."""

    @asynccontextmanager
    async def connect_session(self, **options: Any) -> AsyncIterator[ClientSession]:
        """A session that may be left at any time."""
        async with left(super().connect_session(**options)) as session:
            yield session
