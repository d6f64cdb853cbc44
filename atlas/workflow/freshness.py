"""Refuses what Inngest signed long ago."""

import time
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.errors import StaleRequest
from atlas.operate.error_shape import error_response

FRESH_SECONDS = 300


SIGNATURE_HEADER = "x-inngest-signature"


class FreshnessGuard:
    """Refuses signed requests of Inngest that are older than five minutes; the SDK itself accepts any age.

    The signature covers the body and `t` but not the query, so a captured request could be replayed for ever
    (seen with SDK 0.5.19). The reading of the header is the SDK's own: the first `t` that parse_qs finds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is fresh, and what only reads; for one endpoint, so that no path is compared."""
        if scope["type"] == "http" and scope["method"] != "GET":
            signatures = Headers(scope=scope).getlist(SIGNATURE_HEADER)
            if len(signatures) != 1 or not is_fresh(signatures[0], now=time.time()):
                refusal = StaleRequest(seconds=FRESH_SECONDS)
                await error_response(refusal, status=401)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_fresh(signature: str, *, now: float) -> bool:
    """Whether the time in `t=<unix seconds>&s=<hex>` is there and within five minutes of now."""
    try:
        age = now - int(parse_qs(signature)["t"][0])
    except (KeyError, ValueError, OverflowError):  # the last two: very many digits
        return False
    return abs(age) <= FRESH_SECONDS
