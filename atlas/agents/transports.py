"""Serves one MCP server over SSE and over streamable HTTP, at paths of the gateway's own app."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastmcp import FastMCP
from fastmcp.server.http import create_sse_app
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.agents.sessions.questions import number_apart
from atlas.agents.sessions.store import SessionStore
from atlas.agents.sessions.taking_up import TakingUp

PREFIX = "/mcp"


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
    app: FastAPI, server: FastMCP, sessions: SessionStore, *, most_present: int = 100
) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Add the MCP routes; returns the lifespan that has to run while they are served.

    Routes and not a mount: only routes get root_path, both slashes and both transports right.
    """
    sse = create_sse_app(server, f"{PREFIX}/messages/", f"{PREFIX}/sse", auth=server.auth)
    taking_up = Middleware(TakingUp, store=sessions, is_open=server.auth is None, most=most_present)
    http = server.http_app(path=PREFIX, transport="http", middleware=[taking_up])
    server._mcp_server.middleware.append(number_apart)
    app.router.routes.extend(
        [
            Route(PREFIX, endpoint=http),
            Route(f"{PREFIX}/sse", endpoint=sse),
            Route(f"{PREFIX}/messages/", endpoint=sse),
            Route(f"{PREFIX}/messages", endpoint=AddSlash(sse)),
        ]
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with http.lifespan(http), sse.lifespan(sse):
            yield

    return lifespan
