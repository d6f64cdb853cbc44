"""Serves `/metrics`: at a port of its own, where nothing else is served, or to those who have the key."""

import hmac
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.errors import NotAuthenticated
from atlas.operate.error_shape import error_response, shaped

METRICS_PATH = "/metrics"
Text = Callable[[str], Awaitable[tuple[bytes, str]]]  # by the Accept of a request: the text and its type


class Exposition:
    """Answers requests for metrics."""

    def __init__(self, text: Text, *, key: SecretStr | None) -> None:
        self._text = text
        self._key = key.get_secret_value().encode() if key else None

    async def answer(self, request: Request) -> Response:
        """The metrics, or a refusal without the key."""
        if not self._may_read(request.headers.get("authorization", "")):
            return error_response(NotAuthenticated(whose="metrics (ATLAS_METRICS_KEY)"), status=401)
        text, kind = await self._text(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": kind, "Cache-Control": "no-store"})

    def _may_read(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        if self._key is None:
            return True
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._key)

    def add_to(self, app: FastAPI) -> None:
        """Serve it at its port, and at the gateway's own where there is a key."""
        if self._key is not None:
            app.add_api_route(METRICS_PATH, self.answer, methods=["GET"], include_in_schema=False)
        app.add_middleware(OwnPort, app_of_gateway=app, exposition=self)


class OwnPort:
    """ASGI middleware: at the port of metrics there is nothing else, under whichever host it is asked for."""

    def __init__(self, app: ASGIApp, *, app_of_gateway: FastAPI, exposition: Exposition) -> None:
        self._app = app
        self._state = app_of_gateway.state
        self._exposition = exposition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what came in at that port, and pass the rest on."""
        port = getattr(self._state, "metrics_port", None)
        if scope["type"] != "http" or port is None or (scope.get("server") or ("", 0))[1] != port:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        is_asked = scope["path"].rstrip("/") == METRICS_PATH and scope["method"] in ("GET", "HEAD")
        refusal = shaped(404, "HTTPError", f"At this port there is {METRICS_PATH} alone.")
        response = await self._exposition.answer(request) if is_asked else refusal
        await response(scope, receive, send)
