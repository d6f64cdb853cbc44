"""What the HTTP APIs need of the engine they belong to."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request

from atlas.engine.errors import EventRefused
from atlas.engine.functions import Function
from atlas.engine.keys import EngineKeys
from atlas.engine.store import Store

LARGEST_REQUEST = 16 * 2**20


class Served(Protocol):
    """An engine, as its HTTP APIs see it."""

    keys: EngineKeys | None
    store: Store
    functions: Mapping[str, Function]

    @property
    def kind(self) -> str:
        """The server kind."""

    async def register(self, body: dict[str, Any]) -> tuple[str, bool]:
        """Replace the functions of an app; returns its name and whether that changed anything."""

    @property
    def problem(self) -> str | None:
        """Why nothing goes on at the moment, or None."""


def is_authorised(engine: Served, request: Request) -> bool:
    """Whether a request proves the signing key, which it need not where there are no keys."""
    return engine.keys is None or engine.keys.is_bearer(request.headers.get("authorization", ""))


async def read_body(request: Request, *, most: int = LARGEST_REQUEST) -> bytes:
    """The body of a request; raises EventRefused as soon as it is larger than allowed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise EventRefused(f"request body is larger than {most} bytes")
    return bytes(body)
