"""Refuses a large body for Inngest's SDK whose signature is not over its bytes, before it is parsed."""

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atlas.door.bodies import SMALL
from atlas.errors import WronglySigned
from atlas.operate.error_shape import error_response
from atlas.workflow.freshness import SIGNATURE_HEADER

PREFIX = re.compile(r"^signkey-\w+-")


class SignedAsSent:
    """Lets a large body through if its bytes, as they were sent, have a signature of ours.

    The SDK parses a body and writes it again before it looks at the signature. That takes twenty times the
    memory of the body. Inngest's servers send the form that they sign, so here the bytes are enough. A small
    body is left to the SDK.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str | None]) -> None:
        self._app = app
        self._keys = [PREFIX.sub("", key) for key in keys if key]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, which is bounded before, and pass it on whole."""
        if scope["type"] != "http" or scope["method"] == "GET" or not self._keys:
            await self._app(scope, receive, send)
            return
        body, end = bytearray(), None
        while end is None:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client is gone
            body += message.get("body", b"")
            end = None if message.get("more_body") else message
        whole = bytes(body)
        del body
        if len(whole) > SMALL and not self._is_signed(scope, whole):
            await error_response(WronglySigned(), status=401)(scope, receive, send)
            return
        pieces: list[Message] = [{"type": "http.request", "body": whole, "more_body": False}]

        async def again() -> Message:
            return pieces.pop() if pieces else await receive()

        await self._app(scope, again, send)

    def _is_signed(self, scope: Scope, body: bytes) -> bool:
        fields = parse_qs(Headers(scope=scope).get(SIGNATURE_HEADER, ""))
        signed_at, given = fields.get("t", [""])[0], fields.get("s", [""])[0]
        made = (hmac.new(key.encode(), body + signed_at.encode(), sha256) for key in self._keys)
        return any(hmac.compare_digest(given.encode(), one.hexdigest().encode()) for one in made)
