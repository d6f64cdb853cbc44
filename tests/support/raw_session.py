"""An MCP client by hand, whose session id outlives everything: the gateway, the connection, the client."""

import contextlib
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import httpx
from gateway_process import AGENT_KEY, WAIT_SECONDS

VERSION = "2025-11-25"
HANDSHAKE = {
    "protocolVersion": VERSION,
    "capabilities": {"elicitation": {"form": {}}},
    "clientInfo": {"name": "by hand", "version": "1"},
}


class RawSession:
    """One session over streamable HTTP; every request is a connection of its own."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = AGENT_KEY,
        session_id: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = f"{url}/mcp"
        self.key = key
        self._transport = transport
        self.session_id = session_id
        self.version = VERSION
        self._numbers = count(1)

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if self.session_id:
            headers |= {"Mcp-Session-Id": self.session_id, "Mcp-Protocol-Version": self.version}
        return headers

    def by(self, key: str) -> "RawSession":
        """The same session in the hands of someone else."""
        return RawSession(self.url.removesuffix("/mcp"), key=key, session_id=self.session_id)

    async def open(self, **said: Any) -> dict[str, Any]:
        """Send `initialize` and no more."""
        response = await self.post("initialize", **HANDSHAKE | said)
        self.session_id = response.headers["mcp-session-id"]
        result: dict[str, Any] = only_message(response)["result"]
        self.version = result["protocolVersion"]
        return result

    async def post(self, method: str, **params: Any) -> httpx.Response:
        """Send a request, and wait for the whole answer."""
        return await self.send(self._request(method, params))

    def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": params}

    async def send(self, message: dict[str, Any]) -> httpx.Response:
        """Post any message."""
        async with httpx.AsyncClient(timeout=WAIT_SECONDS, transport=self._transport) as client:
            return await client.post(self.url, json=message, headers=self.headers)

    async def delete(self) -> httpx.Response:
        """End the session."""
        async with httpx.AsyncClient(timeout=WAIT_SECONDS, transport=self._transport) as client:
            return await client.delete(self.url, headers=self.headers)

    @contextlib.asynccontextmanager
    async def stream(self, method: str = "", **params: Any) -> AsyncIterator[httpx.Response]:
        """The standing stream, or the answer to a request as it comes."""
        body = self._request(method, params) if method else None
        verb = "POST" if method else "GET"
        async with (
            httpx.AsyncClient(timeout=WAIT_SECONDS, transport=self._transport) as client,
            client.stream(verb, self.url, json=body, headers=self.headers) as response,
        ):
            yield response


async def messages(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The messages of a stream of events."""
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))


def only_message(response: httpx.Response) -> dict[str, Any]:
    """The answer to a request, of which nothing else was told."""
    assert response.status_code == 200, response.text
    found = [line for line in response.text.splitlines() if line.startswith("data:")]
    assert len(found) == 1, response.text
    message: dict[str, Any] = json.loads(found[0].removeprefix("data:"))
    return message
