"""Behind a real nginx with TLS and a path, configured as the how-to says."""

import asyncio
import contextlib
import os
import re
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import documentation
import httpx
import nginx_process
import pytest
from engine_elsewhere import EVENT_KEY, OLD_KEY, engine
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import (
    AGENT_KEY,
    REVIEWER_KEY,
    ROOT,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    outcome,
    output_of,
    reference_in,
    text_of,
)
from nginx_process import NAME, Nginx
from sse import LeavingTransport

pytestmark = pytest.mark.skipif(
    nginx_process.program() is None, reason="this machine has no nginx, and PyPI has none for it"
)
RISKY = {"beneficiary_id": "BEN-123", "reason": "hospital stay"}
NOT_STRIPPED = ("http://127.0.0.1:8000/;", "http://127.0.0.1:8000;")
TRANSPORTS = [("/mcp", StreamableHttpTransport), ("/mcp/sse", LeavingTransport)]


def settings_of_the_page() -> dict[str, str]:
    """What the how-to writes into .env."""
    lines = documentation.checked("nginx-settings").splitlines()
    return dict(line.split("=", 1) for line in lines)


class Proxied(NamedTuple):
    """A gateway and the nginx in front of it."""

    gateway: GatewayProcess
    nginx: Nginx

    @property
    def url(self) -> str:
        """Where agents find the gateway."""
        return f"{self.nginx.origin}/atlas"

    def client(self) -> httpx.AsyncClient:
        """A client that asks for the name of the page."""
        return httpx.AsyncClient(
            verify=self.nginx.trust, headers={"Host": NAME}, timeout=WAIT_SECONDS, trust_env=False
        )


@contextlib.asynccontextmanager
async def proxied(
    directory: Path, *changes: tuple[str, str], nginx: Nginx | None = None, **environment: str
) -> AsyncIterator[Proxied]:
    """A gateway with the settings of the page behind an nginx with its configuration."""
    nginx = nginx or Nginx(directory)
    gateway = GatewayProcess(directory, **settings_of_the_page() | environment)
    await gateway.start()
    try:
        async with nginx.in_front_of(gateway.url, *changes):
            yield Proxied(gateway, nginx)
    finally:
        await gateway.kill()


@pytest.mark.parametrize("changes", [(), (NOT_STRIPPED,)], ids=["taken away", "left"])
@pytest.mark.parametrize(("path", "transport"), TRANSPORTS)
async def test_a_call_is_governed_behind_a_path(
    tmp_path: Path, path: str, transport: Any, changes: tuple[tuple[str, str], ...]
) -> None:
    """On both transports, whether the proxy takes the path away, as on the page, or leaves it."""
    async with proxied(tmp_path, *changes) as here:
        way = transport(here.url + path, headers={"Host": NAME}, auth=AGENT_KEY, verify=here.nginx.trust)
        async with Client(way, timeout=WAIT_SECONDS) as agent:
            case_id = reference_in(await call(agent, "request_payment_extension", **RISKY))
            async with here.client() as reviewer:
                decided = await reviewer.post(
                    f"{here.url}/webhook/approval",
                    json={"decision": "APPROVED", "event_id": case_id},
                    headers={"Authorization": f"Bearer {REVIEWER_KEY}"},
                )
            assert decided.status_code == 200, decided.text
            assert "now due on" in text_of(await outcome(agent, case_id))


async def test_every_address_that_the_gateway_writes_holds_the_path(tmp_path: Path) -> None:
    """The event of SSE, the index, and the start; and none of them is answered with a redirect."""
    async with proxied(tmp_path) as here, here.client() as client:
        agent = {"Authorization": f"Bearer {AGENT_KEY}"}
        async with client.stream("GET", f"{here.url}/mcp/sse", headers=agent) as stream:
            lines = [line async for line in until(stream, "data: ")]
        assert lines[-1].startswith("data: /atlas/mcp/messages/?session_id=")
        index = (await client.get(here.url + "/")).json()
        written = [index[f"{name}_endpoint"] for name in ("mcp", "inngest", "approval")]
        assert written == ["/atlas/mcp/sse", "/atlas/api/inngest", "/atlas/webhook/approval"]
        for address in [*written, *(f"{address}/" for address in written)]:
            answer = await client.request("PATCH", here.nginx.origin + address)
            assert answer.status_code in (401, 405), f"{address}: {answer.status_code} {answer.text}"
        for path in ("/healthz", "/healthz/", "/readyz/"):
            assert (await client.get(here.url + path)).status_code == 200, path
        assert "/atlas/mcp/sse" in here.gateway.newest_log()


async def until(stream: httpx.Response, beginning: str) -> AsyncIterator[str]:
    """The lines of a stream, up to the first that begins so."""
    async for line in stream.aiter_lines():
        yield line
        if line.startswith(beginning):
            return


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": f"https://{NAME}"}, 200),  # the scheme comes in X-Forwarded-Proto
        ({"Origin": f"http://{NAME}"}, 403),  # what a person in the network can write
        ({"Origin": "https://example.com"}, 403),
        ({"Host": "other.example.com"}, 421),
        ({"X-Forwarded-Prefix": "/elsewhere", "X-Forwarded-Host": "other.example.com"}, 200),  # not read
    ],
)
async def test_host_and_origin_are_judged_by_what_the_browser_sees(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    """The proxy passes on the host, and says that it was asked over TLS."""
    async with proxied(tmp_path) as here, here.client() as client:
        answer = await client.get(f"{here.url}/", headers=headers)
    assert answer.status_code == status, answer.text
    assert status != 200 or answer.json()["mcp_endpoint"] == "/atlas/mcp/sse"


@pytest.mark.parametrize(
    ("named", "status"), [("127.0.0.2", 200), ("10.0.0.7,127.0.0.0/30", 200), ("10.0.0.7", 403), ("", 403)]
)
async def test_a_balancer_on_another_machine_is_believed_where_it_is_named(
    tmp_path: Path, named: str, status: int
) -> None:
    """It says that it was asked over TLS, so that a page of the same host is one of our own."""
    gateway = GatewayProcess(tmp_path, ATLAS_FORWARDED_FROM=named, ATLAS_ALLOWED_HOSTS=NAME)
    await gateway.start()
    said = {"Host": NAME, "Origin": f"https://{NAME}", "X-Forwarded-Proto": "https"}
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    try:
        async with httpx.AsyncClient(transport=elsewhere, timeout=WAIT_SECONDS) as balancer:
            answer = await balancer.get(f"{gateway.url}/", headers=said)
    finally:
        await gateway.kill()
    assert answer.status_code == status, answer.text


async def test_a_person_signs_in_at_the_desk_over_tls_and_behind_a_path(tmp_path: Path) -> None:
    """The cookie has the prefix and Secure, as the proxy says that it was asked over TLS."""
    own = {"Origin": f"https://{NAME}", "Sec-Fetch-Site": "same-origin"}
    async with proxied(tmp_path, ATLAS_REVIEWER_KEY=f"anna:{REVIEWER_KEY}") as here, here.client() as client:
        sent = await client.get(f"{here.url}/desk")
        assert sent.headers["location"] == "/atlas/desk/sign-in?then=/desk"
        fields = {"way": "key", "key": REVIEWER_KEY, "then": "/desk/account"}
        entered = await client.post(f"{here.url}/desk/sign-in", data=fields, headers=own)
        assert (entered.status_code, entered.headers["location"]) == (303, "/atlas/desk/account")
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("__Host-atlas-desk-atlas=") and "; Secure" in cookie and "Path=/;" in cookie
        browser = {"Cookie": cookie.partition(";")[0]}
        page = await client.get(f"{here.url}/desk/account", headers=browser)
        token = re.search('name="form_token" value="([^"]+)"', page.text)
        assert token is not None and 'action="/atlas/desk/sign-out"' in page.text
        for headers, status in (({"Origin": f"http://{NAME}"}, 403), (own, 303)):
            out = await client.post(
                f"{here.url}/desk/sign-out", data={"form_token": token[1]}, headers=browser | headers
            )
            assert out.status_code == status, out.text


async def test_an_inngest_server_reaches_the_gateway_through_the_proxy(tmp_path: Path) -> None:
    """INNGEST_SERVE_ORIGIN is the proxy, so the registered address holds the path; steps run through it."""
    nginx = Nginx(tmp_path)
    async with engine(tmp_path / "engine", SSL_CERT_FILE=str(nginx.certificate)) as engine_url:
        inngest = {
            "INNGEST_BASE_URL": engine_url,
            "INNGEST_EVENT_KEY": EVENT_KEY,
            "INNGEST_SIGNING_KEY": OLD_KEY,
            "INNGEST_SERVE_ORIGIN": nginx.origin,
        }
        async with proxied(tmp_path, nginx=nginx, **inngest) as here, here.gateway.agent() as agent:
            case_id = reference_in(await call(agent, "request_payment_extension", **RISKY))
            await here.gateway.decide(case_id)
            assert "now due on" in text_of(await outcome(agent, case_id))
    with contextlib.closing(sqlite3.connect(tmp_path / "engine" / "engine.db")) as database:
        registered = [text for (text,) in database.execute("SELECT configuration FROM functions")]
    assert registered and all(f"{nginx.origin}/atlas/api/inngest?" in text for text in registered)


async def test_the_handshake_passes_through_the_proxy(tmp_path: Path) -> None:
    """`./setup.sh try https://…/atlas`."""
    async with proxied(tmp_path) as here:
        keys = {"ATLAS_AGENT_KEY": AGENT_KEY, "ATLAS_REVIEWER_KEY": REVIEWER_KEY}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "test_handshake.py"), here.url),
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(here.nginx.certificate)} | keys,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert "PASSED" in await output_of(process, seconds=WAIT_SECONDS)
