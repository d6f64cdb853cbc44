"""What browsers and load balancers ask: preflights, headers for pages, HEAD, OPTIONS, HTTP/1.0, addresses."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import documentation
import httpx
import pytest
import pytest_asyncio
from gateway_process import AGENT_KEY, REVIEWER_KEY, WAIT_SECONDS, GatewayProcess
from raw_session import HANDSHAKE

pytestmark = pytest.mark.asyncio(loop_scope="module")
ORIGIN = "http://localhost:6274"
NEIGHBOUR = "http://localhost:5173"  # another page of this machine, which is not named
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version,mcp-param-days",
}
MCP_PATHS = ("/mcp", "/mcp/", "/mcp/sse", "/mcp/messages", "/mcp/messages/")
AGENT = {"Authorization": f"Bearer {AGENT_KEY}"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway that lets in the pages of the how-to."""
    name, _, value = documentation.checked("origins").strip().partition("=")
    gateway = GatewayProcess(tmp_path_factory.mktemp("pages"), **{name: value})
    await gateway.start()
    yield gateway
    await gateway.kill()


async def ask(gateway: GatewayProcess, method: str, path: str, **headers: str) -> httpx.Response:
    """One request, and no redirect is followed."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        return await client.request(method, gateway.url + path, headers=headers)


@pytest.mark.parametrize("path", MCP_PATHS)
async def test_a_browser_is_told_that_a_page_of_a_named_origin_may_use_mcp(
    served: GatewayProcess, path: str
) -> None:
    """A preflight holds no key; the answer names this one origin, and no cookies."""
    answer = await ask(served, "OPTIONS", path, Origin=ORIGIN, **PREFLIGHT)
    assert answer.status_code == 200, answer.text
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in answer.headers
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in PREFLIGHT["Access-Control-Request-Headers"].split(","))
    assert {"GET", "POST", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert "Origin" in answer.headers["vary"]


async def test_a_page_of_a_named_origin_opens_a_session_and_reads_its_id(served: GatewayProcess) -> None:
    """As the page of the Inspector does: `initialize`, then the session's id from the header."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HANDSHAKE}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        headers = AGENT | ACCEPT | {"Origin": ORIGIN}
        answer = await client.post(f"{served.url}/mcp", json=message, headers=headers)
        assert answer.status_code == 200 and answer.headers["mcp-session-id"]
        assert "Mcp-Session-Id" in answer.headers["access-control-expose-headers"]
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        async with client.stream("GET", f"{served.url}/mcp/sse", headers=headers) as stream:
            assert stream.headers["access-control-allow-origin"] == ORIGIN
        refused = await client.post(f"{served.url}/mcp", json=message, headers={"Origin": ORIGIN})
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        *((path, NEIGHBOUR) for path in MCP_PATHS),
        ("/mcp", "https://example.com"),
        ("/mcp", "http://localhost:6274.example.com"),
        ("/mcp", "null"),
        ("/webhook/approval", ORIGIN),  # no page can approve a call
        ("/api/inngest", ORIGIN),
        ("/readyz", ORIGIN),
    ],
)
async def test_a_browser_is_told_nothing_of_the_kind_for_other_pages_and_other_endpoints(
    served: GatewayProcess, path: str, origin: str
) -> None:
    """Without the header the browser sends no key, and shows the page no answer."""
    for method, headers in (("OPTIONS", PREFLIGHT), ("GET", {})):
        answer = await ask(served, method, path, Origin=origin, **headers)
        assert "access-control-allow-origin" not in answer.headers, f"{method} {path} for {origin}"


async def test_a_named_origin_opens_no_other_door_in_open_mode(tmp_path: Path) -> None:
    """Without keys a page could approve by a plain POST: a foreign origin that is named may use MCP alone."""
    foreign = "https://tools.example.com"
    gateway = GatewayProcess(
        tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="", ATLAS_ALLOWED_ORIGINS=foreign
    )
    await gateway.start()
    try:
        async with httpx.AsyncClient(timeout=WAIT_SECONDS, headers={"Origin": foreign}) as client:
            decision = {"decision": "APPROVED", "event_id": "evt_48f1fb4b"}
            approval = await client.post(f"{gateway.url}/webhook/approval", json=decision)
            mcp = await client.post(f"{gateway.url}/mcp", json={}, headers=ACCEPT)
    finally:
        await gateway.kill()
    assert (approval.status_code, approval.json()["error"]) == (403, "NotPermitted")
    assert "ATLAS_ALLOWED_ORIGINS" in approval.json()["detail"]
    assert mcp.status_code == 400 and mcp.headers["access-control-allow-origin"] == foreign


async def test_without_the_setting_no_page_of_another_origin_is_let_in(tmp_path: Path) -> None:
    """The default is none, not even for pages of this machine."""
    gateway = GatewayProcess(tmp_path)
    await gateway.start()
    try:
        answer = await ask(gateway, "OPTIONS", "/mcp", Origin=ORIGIN, **PREFLIGHT)
    finally:
        await gateway.kill()
    assert not [name for name in answer.headers if name.startswith("access-control")]


# Refusals at the MCP endpoints


@pytest.mark.parametrize(
    ("method", "headers", "status", "name"),
    [
        ("GET", {}, 401, "NotAuthenticated"),
        ("GET", {"Authorization": "Bearer a-key-of-no-one"}, 401, "NotAuthenticated"),
        ("GET", {"Authorization": f"Bearer {REVIEWER_KEY}"}, 401, "NotAuthenticated"),
        ("GET", AGENT | {"Host": "gateway.example.com"}, 421, "HostNotServed"),
        ("GET", AGENT | {"Origin": "https://example.com"}, 403, "NotPermitted"),
        ("PATCH", AGENT, 405, "HTTPError"),
    ],
)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/sse"])
async def test_refusals_at_mcp_have_the_shape_of_all_others(
    served: GatewayProcess, path: str, method: str, headers: dict[str, str], status: int, name: str
) -> None:
    """A client that knows one error of the gateway knows them all."""
    answer = await ask(served, method, path, **headers)
    assert answer.status_code == status
    assert answer.json().keys() == {"error", "detail"}
    assert answer.json()["error"] == name and len(answer.json()["detail"]) > 5
    if status == 401:
        is_given = "Authorization" in headers
        assert ('error="invalid_token"' in answer.headers["www-authenticate"]) is is_given  # RFC 6750, 3.1
        assert "agent's key" in answer.json()["detail"]


# Load balancers


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/healthz", "/healthz/", "/readyz", "/readyz/"])
@pytest.mark.parametrize("host", ["", "203.0.113.7:8000", "[2001:db8::7]"], ids=["ours", "IPv4", "IPv6"])
async def test_a_load_balancer_gets_an_answer(
    served: GatewayProcess, method: str, path: str, host: str
) -> None:
    """By its method, its spelling of the path, and an address for a host; of HEAD the headers alone."""
    answer = await ask(served, method, path, **({"Host": host} if host else {}))
    assert answer.status_code == 200
    assert bool(answer.content) is (method != "HEAD")


@pytest.mark.parametrize("first", ["OPTIONS /", "HEAD /healthz", "GET /readyz"])
async def test_a_load_balancer_may_speak_http_1_0_without_a_host(served: GatewayProcess, first: str) -> None:
    """As HAProxy does by default; the connection is closed after the answer."""
    port = int(served.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{first} HTTP/1.0\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), WAIT_SECONDS)
    writer.close()
    assert answer.split(b" ", 2)[1] == b"200", answer


@pytest.mark.parametrize(
    ("path", "host"),
    [("/mcp", "203.0.113.7"), ("/webhook/approval", "203.0.113.7"), ("/readyz", "gateway.example.com")],
)
async def test_what_load_balancers_do_not_ask_stays_guarded(
    served: GatewayProcess, path: str, host: str
) -> None:
    """A name can be pointed at this machine by its owner, so it is served nowhere."""
    answer = await ask(served, "GET", path, Host=host)
    assert (answer.status_code, answer.json()["error"]) == (421, "HostNotServed")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "docs/how-to/notices.md"),
        ("https://hooks.example.com/secret-path", "POST to hooks.example.com"),
    ],
)
async def test_the_start_says_how_reviewers_are_told(tmp_path: Path, url: str, said: str) -> None:
    """An operator who set no channel learns it before the first call waits; a secret path is not shown."""
    gateway = GatewayProcess(tmp_path, ATLAS_NOTIFY_URL=url)
    await gateway.start()
    await gateway.kill()
    assert said in gateway.newest_log() and "secret-path" not in gateway.newest_log()
