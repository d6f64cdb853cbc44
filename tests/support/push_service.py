"""A push service on loopback, which checks who calls and that nothing comes along."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway_process import eventually
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import Response
from upstream_by_hand import posted_to


@dataclass
class PushService:
    """What it was asked, and how it answers."""

    origin: str = ""
    status: int = 201
    calls: list[dict[str, Any]] = field(default_factory=list)  # path, headers, body, claims, key

    @property
    def endpoint(self) -> str:
        """Of a browser."""
        return f"{self.origin}/push/a-secret-of-the-browser"

    async def called(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until it was called so often."""

        async def was_called() -> bool:
            return len(self.calls) >= count

        await eventually(was_called)
        return self.calls


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    """A service that takes only what RFC 8292 allows: it answers 403 to anything else."""
    here = PushService()

    async def take(request: Request) -> Response:
        said = {"path": request.url.path, "headers": dict(request.headers), "body": await request.body()}
        try:
            said |= checked(request.headers["authorization"], here.origin)
        except (ValueError, KeyError, AssertionError):
            here.calls.append(said)
            return Response(status_code=403)
        here.calls.append(said)
        return Response(status_code=here.status)

    async with posted_to(take, path="/push/{browser}", methods=["POST"]) as (_, entry):
        here.origin = entry["url"].removesuffix("/mcp")
        yield here


def checked(authorization: str, origin: str) -> dict[str, Any]:
    """The claims of a header and the key that signed them, checked as a push service does."""
    scheme, _, rest = authorization.partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    point = base64.urlsafe_b64decode(parts["k"] + "==")
    assert scheme == "vapid" and len(point) == 65 and point[0] == 4
    axes = {name: _text(point[at : at + 32]) for name, at in (("x", 1), ("y", 33))}
    key = ECKey.import_key(json.loads(json.dumps({"kty": "EC", "crv": "P-256"} | axes)))
    claims = jwt.decode(parts["t"], key, algorithms=["ES256"]).claims
    assert claims["aud"] == origin
    assert time.time() < claims["exp"] <= time.time() + 86_400
    assert claims["sub"].startswith(("mailto:", "https://"))
    return {"claims": claims, "key": parts["k"]}


def _text(some: bytes) -> str:
    return base64.urlsafe_b64encode(some).decode().rstrip("=")
