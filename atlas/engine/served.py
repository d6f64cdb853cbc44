"""What the HTTP APIs need of the engine they belong to."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request

from atlas.engine.functions import Function
from atlas.engine.keys import EngineKeys
from atlas.engine.store import Store


class Served(Protocol):
    """An engine, as its HTTP APIs see it."""

    keys: EngineKeys | None
    store: Store
    functions: Mapping[str, Function]

    @property
    def kind(self) -> str:
        """The server kind."""

    @property
    def problem(self) -> str | None:
        """Why nothing goes on at the moment, or None."""

    async def register(self, body: dict[str, Any]) -> bool:
        """Replaces the functions of an app; tells whether that changed anything."""


def is_authorised(engine: Served, request: Request) -> bool:
    """Tells whether a request proves the signing key, which it need not where there are no keys."""
    return engine.keys is None or engine.keys.is_bearer(request.headers.get("authorization", ""))
