"""Reaches an ASGI app of this process by call: no socket that another process could find."""

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp, Message


class InProcessTransport(httpx.AsyncBaseTransport):
    """Hands each request to an app; what the app raises, the caller gets.

    httpx.ASGITransport does the same, and looks for another async library on disk at each request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The app's response, complete."""
        bodies = [await request.aread()]
        answered: dict[str, Any] = {"status": 500, "headers": [], "body": b""}

        async def receive() -> Message:
            if not bodies:
                await asyncio.Future()  # a caller in the same process does not go away
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.update(status=message["status"], headers=message["headers"])
            else:
                answered["body"] += message.get("body", b"")

        await self._app(_scope(request), receive, send)
        return httpx.Response(answered["status"], headers=answered["headers"], content=answered["body"])


def _scope(request: httpx.Request) -> dict[str, Any]:
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "server": (url.host, url.port),
        "client": ("127.0.0.1", 0),
        "root_path": "",
    }
