"""The way to apps that are reached over the network."""

import itertools

import httpx

_POOLS = 16


class PooledTransport(httpx.AsyncBaseTransport):
    """Spreads requests over small pools: a large one looks at all its connections for each request."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=None)
        self._pools = [httpx.AsyncHTTPTransport(limits=limits) for _ in range(_POOLS)]
        self._turns = itertools.cycle(self._pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request through the next pool."""
        return await next(self._turns).handle_async_request(request)

    async def aclose(self) -> None:
        """Closes all connections."""
        for pool in self._pools:
            await pool.aclose()
