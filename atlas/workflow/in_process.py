"""How Inngest's SDK reaches an engine of this process: by a call, without what only a network needs."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import httpx
import inngest
from inngest._internal.net import ThreadAwareAsyncHTTPClient
from starlette.types import ASGIApp


class InProcessClient(ThreadAwareAsyncHTTPClient):
    """Hands a request to an app. There are no redirects, cookies and passwords to look for."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(transport=httpx.ASGITransport(app))

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """The app's answer, read whole."""
        response = await self._transport.handle_async_request(request)
        response.request = request
        await response.aread()
        return response


def attach_in_process(client: inngest.Inngest, app: ASGIApp) -> None:
    """Let a client reach an engine of this process by call."""
    client._http_client._http_client = InProcessClient(app).initialize()
    client._http_client.build_httpx_request = partial(build_request, client._http_client.build_httpx_request)


def build_request(
    usual: Callable[..., httpx.Request],
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    json: Any = None,
    timeout: Any = None,
    **others: Any,
) -> httpx.Request:
    """A request that sends events, without what httpx adds to each; another one is made as `usual`."""
    if others or json is None:
        return usual(method, url, headers=headers, json=json, timeout=timeout, **others)
    return httpx.Request(method, _parsed(url), headers=headers, json=json)  # a call here ends by itself


_parsed = lru_cache(maxsize=16)(httpx.URL)
