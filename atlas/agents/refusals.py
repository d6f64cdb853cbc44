"""Tells refusals of FastMCP and of the MCP SDK over HTTP in the one shape of errors."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atlas.errors import NotAuthenticated
from atlas.operate.error_shape import error_response, shaped

LONGEST_REFUSAL = 1000  # bytes that are kept of one


class InOneShape:
    """Answers a missing key, an unknown one, and errors in plain text as {"error", "detail"}.

    What MCP itself says, an error of JSON-RPC, is passed on as it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        start: Message | None = None
        text = b""

        async def shape(message: Message) -> None:
            nonlocal start, text
            if message["type"] == "http.response.start" and _is_to_shape(message):
                start = message
            elif start is None:
                await send(message)
            else:
                text = (text + message.get("body", b""))[:LONGEST_REFUSAL]
                if not message.get("more_body"):
                    await _refusal(start, text)(scope, receive, send)

        await self._app(scope, receive, shape)


def _is_to_shape(start: Message) -> bool:
    is_json = Headers(raw=start["headers"]).get("content-type", "").startswith("application/json")
    status: int = start["status"]
    return status == 401 or (status >= 400 and not is_json)


def _refusal(start: Message, text: bytes) -> JSONResponse:
    status, headers = start["status"], Headers(raw=start["headers"])
    if status == 401:
        # As RFC 6750 has it: of a missing key no error is told.
        is_unknown = "error=" in headers.get("www-authenticate", "")
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'} if is_unknown else None
        return error_response(NotAuthenticated(whose="agent's"), status=401, headers=challenge)
    allow = {"Allow": headers["allow"]} if "allow" in headers else None
    return shaped(status, "HTTPError", text.decode("utf-8", "replace") or "Refused", headers=allow)
