"""Authentication: freshness of signatures, and open mode."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from atlas.operate.this_machine import ThisMachineOnly
from atlas.workflow.freshness import SIGNATURE_HEADER, FreshnessGuard, is_fresh

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        (f"t={NOW}&s=00", True),
        (f"t={NOW - 300}&s=00", True),
        (f"t={NOW - 301}&s=00", False),
        (f"t={NOW + 301}&s=00", False),  # made for later use
        (f"s=00&t={NOW}", True),
        ("s=00", False),
        ("t=&s=00", False),
        ("t=soon&s=00", False),
        (f"t={'9' * 400}&s=00", False),  # of which Python makes no fraction
        (f"t={'9' * 5000}&s=00", False),  # and of these not even a number
        (f"t={NOW - 301}&t={NOW}&s=00", False),  # the first one counts, as it does for the SDK
        ("", False),
    ],
)
def test_a_signature_is_fresh_for_five_minutes(signature: str, expected: bool) -> None:
    """And never without a time."""
    assert is_fresh(signature, now=float(NOW)) is expected


@pytest.mark.parametrize("path", ["/api/inngest", "/api/inngest%0A", "/behind/a/proxy/api/inngest", "/other"])
@pytest.mark.parametrize(("method", "status"), [("POST", 401), ("PUT", 401), ("HEAD", 401), ("GET", 200)])
def test_what_was_signed_long_ago_is_refused_on_every_path(path: str, method: str, status: int) -> None:
    """A router takes a path with a line feed at its end for the one without; the guard compares none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("passed")(scope, receive, send)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=FreshnessGuard(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers={SIGNATURE_HEADER: f"t={NOW - 10**8}&s=00"})

    assert asyncio.run(ask()).status_code == status


@pytest.mark.parametrize(
    ("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 403), ("", 403)]
)
def test_open_mode_serves_this_machine_only_at_any_address(address: str, status: int) -> None:
    """Someone may start the app with another server than ours."""

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = ThisMachineOnly(Starlette(routes=[Route("/", hello)]))

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/")

    assert asyncio.run(get()).status_code == status
