"""What a browser is told of every page of the desk, and of cases: nothing from elsewhere, nothing kept."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atlas.attention.edge import STATISTICS_PATH
from atlas.desk.pages import DESK
from atlas.people.programs.reading import CASES_PATH
from atlas.stop.edge import STOPS_PATH

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
FOR_PEOPLE = (f"{DESK}/", f"{CASES_PATH}/", f"{STOPS_PATH}/", f"{STATISTICS_PATH}/")
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class DeskHeaders:
    """Adds the headers to every answer under /desk, /cases, /stops and /reviews, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer with the headers."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or not f"{path}/".startswith(FOR_PEOPLE):
            await self._app(scope, receive, send)
            return
        is_asset = path.startswith(f"{DESK}/assets/")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # An asset is asked for again each time, and answered with 304; a page is not kept at all.
                headers["Cache-Control"] = "no-cache" if is_asset else "no-store"
            await send(message)

        await self._app(scope, receive, with_headers)
