"""Clients of both eras of MCP, over each transport that they have."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import AGENT_KEY, WAIT_SECONDS, GatewayProcess
from sse import LeavingTransport

STATELESS = "2026-07-28"


@contextlib.asynccontextmanager
async def agent(
    gateway: GatewayProcess, *, era: str = "legacy", sse: bool = False, key: str = AGENT_KEY
) -> AsyncIterator[Client[Any]]:
    """A client of one era and transport."""
    transport = (
        LeavingTransport(f"{gateway.url}/mcp/sse", auth=key)
        if sse
        else StreamableHttpTransport(f"{gateway.url}/mcp", auth=key)
    )
    async with Client(transport, mode=era, timeout=WAIT_SECONDS) as client:
        yield client
