"""Proxies of the environment: a real one on loopback notes what it is asked, by each client of ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import inngest
import pytest
from fastmcp import FastMCP
from gateway_process import eventually
from outbox_of_test import outbox
from store import settings_of_test

from atlas.assessors import Question, ToolFacts
from atlas.assessors.openai_compatible import OpenAICompatible
from atlas.errors import AssessorFailed, ProxyUnusable
from atlas.proxies import is_this_machine, proxy_of
from atlas.settings import variables
from atlas.upstreams import Upstreams
from atlas.upstreams.config import read_upstreams
from atlas.workflow.server import create_client
from test_handshake import HandshakeError, Reviewer, shake_hands

PROXY = "http://proxy.example:3128"


@dataclass
class SmallProxy:
    """Notes the first line of each request, and refuses it."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.partition(b" HTTP/")[0].decode())
        self.heard.set()
        writer.write(b"HTTP/1.1 502 Not today\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SmallProxy]:
    """A proxy that the environment names, and that may not be asked for two hosts."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    one = SmallProxy()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    monkeypatch.setenv("HTTP_PROXY", one.url)
    monkeypatch.setenv("HTTPS_PROXY", one.url)
    monkeypatch.setenv("NO_PROXY", "inside.invalid")
    async with server:
        yield one


async def reach_upstream(tmp_path: Path, url: str) -> str:
    """What becomes of a server behind the gateway, as /readyz says it."""
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"crm": {"url": url}}}))
    upstreams = Upstreams(read_upstreams(path, variables()))
    async with upstreams.open(FastMCP("front")):
        return str(upstreams.report()["crm"]["problem"])


async def ask_model(url: str) -> None:
    """Ask a model server, which does not answer as one."""
    model = OpenAICompatible(base_url=url, api_key=None, model="m", name="m")
    facts = ToolFacts(name="t", description="")
    with pytest.raises(AssessorFailed):
        await model.judge(Question(tool=facts, arguments={}, principal="agent"))
    await model.close()


async def tell_reviewer(tmp_path: Path, url: str) -> None:
    """Send a notice, and wait until it was tried."""
    async with outbox(tmp_path, atlas_notify_url=url) as box:
        await box.waiting_case()

        async def was_tried() -> bool:
            return any(row.attempts for row in await box.rows())

        await eventually(was_tried)


async def send_event(tmp_path: Path, url: str) -> None:
    """Send an event to an Inngest server, by the SDK."""
    client = create_client(settings_of_test(tmp_path, inngest_dev=url))
    with pytest.raises(Exception):  # noqa: B017  (whichever the SDK has for a server that refuses)
        await client.send(inngest.Event(name="atlas/test"))


async def test_every_client_asks_the_proxy_for_what_is_elsewhere(proxy: SmallProxy, tmp_path: Path) -> None:
    """With an encrypted connection it is only asked for a way to the host."""
    await reach_upstream(tmp_path, "http://crm.invalid/mcp")
    await reach_upstream(tmp_path, "https://crm.invalid/mcp")
    await ask_model("https://models.invalid/v1")
    await tell_reviewer(tmp_path, "https://notices.invalid/hook")
    await send_event(tmp_path, "http://inngest.invalid:8288")
    with pytest.raises(HandshakeError):
        await shake_hands("https://gateway.invalid", {}, Reviewer(url="", headers={}))
    for wanted in (
        "POST http://crm.invalid/mcp",
        "CONNECT crm.invalid:443",
        "CONNECT models.invalid:443",
        "CONNECT notices.invalid:443",
        "POST http://inngest.invalid:8288/e/NO_EVENT_KEY_SET",
        "CONNECT gateway.invalid:443",
    ):
        assert wanted in proxy.asked


async def test_no_client_asks_the_proxy_for_this_machine(proxy: SmallProxy, tmp_path: Path) -> None:
    """Nor for what NO_PROXY names: keys and calls would go through it. Port 1 answers no one."""
    for host in ("127.0.0.1:1", "localhost:1", "inside.invalid:1"):
        await reach_upstream(tmp_path, f"http://{host}/mcp")
        await ask_model(f"http://{host}/v1")
        await send_event(tmp_path, f"http://{host}")
        with pytest.raises(HandshakeError, match="No gateway answers"):
            await shake_hands(f"http://{host}", {}, Reviewer(url="", headers={}))
    await tell_reviewer(tmp_path, "http://127.0.0.1:1/hook")
    assert proxy.asked == []


async def test_a_call_that_the_proxy_refused_did_not_leave(proxy: SmallProxy, tmp_path: Path) -> None:
    """/readyz says so without the address of the proxy, which may hold a password."""
    said = await reach_upstream(tmp_path, "https://crm.invalid/mcp")
    assert proxy.url not in said and said != "it was not reached yet"


@pytest.mark.parametrize(
    ("url", "environment", "found"),
    [
        ("https://a.example", {"HTTPS_PROXY": PROXY}, PROXY),
        ("http://a.example", {"HTTPS_PROXY": PROXY}, None),
        ("http://a.example", {"http_proxy": PROXY, "HTTP_PROXY": "http://other"}, PROXY),
        ("https://a.example", {"ALL_PROXY": "proxy.example:3128"}, PROXY),
        ("https://a.example", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, None),
        ("https://a.example", {"HTTPS_PROXY": PROXY, "no_proxy": "b.org, example"}, None),
        ("https://a.example", {"HTTPS_PROXY": PROXY, "NO_PROXY": ".example"}, None),
        ("https://a.example", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*.example"}, None),
        ("https://notexample.org", {"HTTPS_PROXY": PROXY, "NO_PROXY": "example.org"}, PROXY),
        ("https://a.example:8443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "a.example:443"}, PROXY),
        ("https://a.example", {"HTTPS_PROXY": PROXY, "NO_PROXY": "a.example:443"}, None),
        ("https://A.EXAMPLE.", {"HTTPS_PROXY": PROXY, "NO_PROXY": "a.example"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, PROXY),
        ("https://[2001:db8::1]", {"HTTPS_PROXY": PROXY, "NO_PROXY": "[2001:db8::1]"}, None),
    ],
)
def test_the_variables_mean_what_curl_takes_them_for(
    url: str, environment: dict[str, str], found: str | None
) -> None:
    """And networks, which many programs know."""
    assert proxy_of(url, environment) == found


@pytest.mark.parametrize(
    "host", ["localhost", "a.localhost", "127.9.9.9", "::1", "::ffff:127.0.0.1", "127.1"]
)
def test_each_spelling_of_this_machine_is_known(host: str) -> None:
    """Each of them is dialled directly, although the environment names a proxy."""
    assert is_this_machine(host) and not is_this_machine(f"{host}.example")


def test_a_proxy_of_another_kind_is_a_sentence_without_its_address() -> None:
    """It may hold a password."""
    with pytest.raises(ProxyUnusable, match=r"a\.example cannot be used") as caught:
        proxy_of("https://a.example", {"ALL_PROXY": "socks5://user:word@b"})
    assert "word" not in str(caught.value)
