"""Bounds the bodies of requests: what is declared before it is read, what is not declared while it comes."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atlas.door.refusals import BODIES_IN_FLIGHT, CLOSE, PACKED, Refusal, body_too_large

SMALL = 64 * 2**10  # bytes that any connection may hold: what the server reads ahead


@dataclass(frozen=True)
class Doorway:
    """What one door takes: bytes of one body, and of all larger ones that arrive at the same time."""

    name: str
    largest: int
    in_flight: int


class BoundedBodies:
    """Stands before all routes. An app that does not read a body costs nothing, however long the body is."""

    def __init__(self, app: ASGIApp, *, doorway_of: Callable[[str], Doorway]) -> None:
        self._app, self._doorway_of = app, doorway_of
        self._held: Counter[str] = Counter()  # bytes of large bodies that arrive now, by door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is small enough, as far as is known before it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, doorway = Headers(scope=scope), self._doorway_of(get_route_path(scope))
        refusal = refuse(headers, doorway)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        counted = CountedBody(receive, send, headers=headers, doorway=doorway, held=self._held)
        await counted.serve(self._app, scope)


def refuse(headers: Headers, doorway: Doorway) -> Refusal | None:
    """Why a body is not read, from the headers alone."""
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return PACKED
    declared = headers.get("content-length", "")
    is_over = declared.isdecimal() and int(declared[:20]) > doorway.largest
    return body_too_large(doorway.largest) if is_over else None


class BodyRefused(Exception):
    """Ends the reading of a body; what the app makes of it is not sent."""


class CountedBody:
    """One request, whose body is counted as it is read, and cut where it is too large."""

    def __init__(
        self, receive: Receive, send: Send, *, headers: Headers, doorway: Doorway, held: Counter[str]
    ) -> None:
        self._receive, self._send = receive, send
        self._doorway, self._held = doorway, held
        declared = headers.get("content-length")
        self._is_whole = declared in ("0", None) and "transfer-encoding" not in headers
        self._is_small = declared is not None and declared.isdecimal() and int(declared[:20]) <= SMALL
        self._read = self._counted = 0
        self._refusal: Refusal | None = None
        self._is_started = self._is_gone = False

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        """Have the app answer, unless the body turns out to be too large before it does."""
        try:
            await app(scope, self.receive, self.send)
        except ClientDisconnect:
            if not self._is_gone:
                raise
        except Exception:
            if self._refusal is None or self._is_started:
                raise
        finally:
            self._release()
        if self._refusal is not None and not self._is_started:
            await self._refusal(scope, self._receive, self._send)

    async def receive(self) -> Message:
        """The next piece of the body; raises BodyRefused at the piece that is too much."""
        if self._refusal is not None:
            raise BodyRefused
        message = await self._receive()
        if message["type"] != "http.request":
            self._is_gone = True
            return message
        self._is_whole = not message.get("more_body", False)
        self._count(len(message.get("body", b"")))
        if self._refusal is not None:
            raise BodyRefused
        return message

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > SMALL:
            self._held[self._doorway.name] += self._read - self._counted
            self._counted = self._read
        if self._read > self._doorway.largest:
            self._refusal = body_too_large(self._doorway.largest)
        elif self._counted and self._held[self._doorway.name] > self._doorway.in_flight:
            self._refusal = BODIES_IN_FLIGHT

    def _release(self) -> None:
        self._held[self._doorway.name] -= self._counted
        self._counted = 0

    async def send(self, message: Message) -> None:
        """Pass a piece of the answer on; what follows an unread body ends the connection."""
        if self._refusal is not None and not self._is_started:
            return  # the app was interrupted, and answers to that
        if message["type"] == "http.response.start":
            self._is_started = True
            self._release()
            if not self._is_whole and not self._is_small:
                others = [pair for pair in message.get("headers", []) if pair[0].lower() != b"connection"]
                message = {**message, "headers": [*others, CLOSE]}
        await self._send(message)
