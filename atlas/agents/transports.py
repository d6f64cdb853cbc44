"""Serves one MCP server over SSE and over streamable HTTP, at paths of the gateway's own app."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastmcp import FastMCP
from fastmcp.server.http import create_sse_app
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atlas.agents.refusals import InOneShape
from atlas.agents.sessions.questions import number_apart
from atlas.agents.sessions.store import SessionStore
from atlas.agents.sessions.taking_up import TakingUp

PREFIX = "/mcp"
METHODS = ("GET", "POST", "DELETE")
SESSION_IN_STREAM = re.compile(rb"session_id=([0-9a-f]{32})")
READABLE = ("Mcp-Session-Id", "Mcp-Protocol-Version", "WWW-Authenticate")  # by the pages of other origins


class NamesSession:
    """Says the id of a session over SSE in a header too: a balancer reads headers, and not the stream.

    The header is the one of streamable HTTP. Clients over SSE take the id from the stream.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request; the head of the answer waits for the first piece of the stream."""
        start: Message | None = None

        async def named(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message
                return
            if start is not None:
                head, start = start, None
                found = SESSION_IN_STREAM.search(message.get("body", b""))
                header = [(MCP_SESSION_ID_HEADER.encode(), found[1])] if found else []
                await send({**head, "headers": [*head["headers"], *header]})
            await send(message)

        await self._app(scope, receive, named)


class AddSlash:
    """Serves `/mcp/messages` like `/mcp/messages/`; a redirect would cost clients their POST body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the slash."""
        slashed = dict(scope, path=scope["path"] + "/")
        if scope.get("raw_path"):
            slashed["raw_path"] = scope["raw_path"] + b"/"
        await self._app(slashed, receive, send)


def add_transports(
    app: FastAPI,
    server: FastMCP,
    sessions: SessionStore,
    *,
    most_present: int = 100,
    origins: Sequence[str] = (),
) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Add the MCP routes; returns the lifespan that has to run while they are served.

    Routes and not a mount: only routes get root_path, both slashes and both transports right.
    """
    sse = create_sse_app(server, f"{PREFIX}/messages/", f"{PREFIX}/sse", auth=server.auth)
    taking_up = Middleware(TakingUp, store=sessions, is_open=server.auth is None, most=most_present)
    http = server.http_app(path=PREFIX, transport="http", middleware=[taking_up])
    server._mcp_server.middleware.append(number_apart)
    endpoints: dict[str, ASGIApp] = {
        PREFIX: http,
        f"{PREFIX}/sse": NamesSession(sse),
        f"{PREFIX}/messages/": sse,
        f"{PREFIX}/messages": AddSlash(sse),
    }
    for path, endpoint in endpoints.items():
        app.router.routes.append(Route(path, endpoint=for_pages(InOneShape(endpoint), origins)))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with http.lifespan(http), sse.lifespan(sse):
            yield

    return lifespan


def for_pages(endpoint: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The endpoint, for the pages of some origins too: what a browser asks first, and what it may show them.

    Without credentials, which are cookies: a page sends its key as a header. It may send any header, for MCP
    has some that are named after the arguments of a tool.
    """
    if not origins:
        return endpoint
    return CORSMiddleware(
        endpoint,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=READABLE,
        allow_private_network=True,
    )
