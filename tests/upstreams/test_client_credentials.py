"""Servers whose clients are programs: the gateway gets its token with the credentials of the file."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp.exceptions import ToolError
from gateway_process import WAIT_SECONDS, text_of
from signing_server import Machines, machine_server, served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from upstream_process import fronted

from atlas.upstreams import grants, upstream
from atlas.upstreams.config import UpstreamConfig, _config
from atlas.upstreams.keys import NoToken, OfTheFile
from atlas.upstreams.placeholders import Placeholders

CREDENTIALS = {"type": "client_credentials", "client_id": Machines.CLIENT, "client_secret": Machines.SECRET}


def config_of(entry: dict[str, Any], **variables: str) -> UpstreamConfig | None:
    """A server as the file has it."""
    return _config("far", entry, Placeholders(variables, Path("mcp.json")))


@pytest.mark.parametrize("has_url", [False, True], ids=["discovered", "named"])
async def test_the_gateway_gets_its_token_by_itself_and_another_when_it_ends(has_url: bool) -> None:
    """The address of the authorization server is discovered, or stands in the file."""
    async with machine_server() as far:
        named = {"token_url": f"{far.url}/token"} if has_url else {}
        auth = CREDENTIALS | named | {"scopes": ["read", "write"]}
        async with fronted(far=far.entry | {"auth": auth}) as front:
            await front.until_there("far")
            assert text_of(await front.call("far_note", text="one")) == "noted one"
            assert len(far.authority.good) == 1
            far.authority.good.clear()
            assert text_of(await front.call("far_note", text="two")) == "noted two"
        assert far.calls == ["one", "two"]
        for asked in far.authority.asked:
            assert asked["grant_type"] == "client_credentials" and asked["scope"] == "read write"
            assert asked["resource"].rstrip("/") == far.entry["url"]
            assert Machines.SECRET not in asked.values()  # it is in the header alone


@pytest.mark.parametrize("has_url", [False, True], ids=["discovered", "named"])
async def test_credentials_that_are_refused_are_told_with_what_to_do(
    has_url: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent, and the secret is told to no one."""
    monkeypatch.setattr(upstream, "LIST_SECONDS", 0.2)
    async with machine_server() as far:
        named = {"token_url": f"{far.url}/token"} if has_url else {}
        auth = CREDENTIALS | named
        async with fronted(far=far.entry | {"auth": auth}) as front:
            await front.until_there("far")
            monkeypatch.setattr(Machines, "SECRET", "another secret")
            far.authority.good.clear()
            with pytest.raises(ToolError) as caught:
                await front.call("far_note", text="one")
            problem = await front.until_missing("far")
        for text in (str(caught.value), problem):
            assert "its client credentials bring no token: " in text
            assert "check auth in the MCP configuration" in text
            assert CREDENTIALS["client_secret"] not in text + caplog.text
    assert far.calls == []


async def test_a_server_that_leads_to_another_issuer_gets_no_secret() -> None:
    """Right: with `issuer` in the file, the secret is only shown there."""
    async with machine_server() as far, machine_server() as thief:
        auth = CREDENTIALS | {"issuer": f"{far.url}/"}
        async with fronted(far=thief.entry | {"auth": auth}) as front:
            assert "its client credentials bring no token" in await front.until_missing("far")
    assert thief.authority.asked == []


@pytest.mark.parametrize("silent", ["server", "authorization server"])
async def test_who_is_silent_in_a_sign_in_is_not_waited_for_without_end(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right: there is no token after a while, and what to look at is said. Wrong: a call waits for ever."""
    monkeypatch.setattr(grants, "TIMEOUT", httpx2.Timeout(0.3))
    over = asyncio.Event()

    async def say_nothing(request: Request) -> Response:
        await over.wait()
        return Response()

    async def refuse(request: Request) -> Response:
        where = f'Bearer resource_metadata="{request.base_url}about"'
        return Response(status_code=401, headers={"WWW-Authenticate": where})

    async def about(request: Request) -> Response:
        mute = f"{request.base_url}mute"
        return JSONResponse({"resource": f"{request.base_url}mcp", "authorization_servers": [mute]})

    app = Starlette(
        routes=[
            Route("/mcp", say_nothing if silent == "server" else refuse, methods=["POST"]),
            Route("/about", about),
            Route("/{rest:path}", say_nothing),
        ]
    )
    async with served(lambda url: (url, app)) as url:
        config = config_of({"url": f"{url}/mcp", "auth": CREDENTIALS})
        assert config is not None
        try:
            with pytest.raises(NoToken, match="ReadTimeout; check auth in the MCP configuration"):
                await asyncio.wait_for(OfTheFile(config).token(spent=None), WAIT_SECONDS)
        finally:
            over.set()


def test_the_words_of_cursor_are_read_and_a_variable_is_filled() -> None:
    """Its `auth` is a client that was registered by hand."""
    auth = {"CLIENT_ID": "id", "CLIENT_SECRET": "${env:SECRET}", "scopes": ["a", "b"]}
    config = config_of({"url": "https://far.example/mcp", "auth": auth}, SECRET="word")
    assert config is not None and config.auth is not None and config.auth.client_secret is not None
    assert (config.auth.type, config.auth.client_id, config.auth.scopes) == ("oauth", "id", "a b")
    assert config.auth.client_secret.get_secret_value() == "word" and "word" not in repr(config)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"url": "http://x/", "auth": {"type": "client_credentials", "client_id": "word"}}, "client_secret"),
        ({"url": "http://x/", "auth": "word"}, "'oauth' or 'client_credentials'"),
        ({"url": "http://x/", "auth": CREDENTIALS | {"token_url": "ftp://word"}}, "token_url"),
        ({"url": "http://x/", "auth": CREDENTIALS | {"password": "word"}}, "auth.password"),
        ({"command": "x", "auth": "oauth"}, "and a command: keep one of them"),
        (
            {"url": "http://x/", "auth": "oauth", "headers": {"authorization": "word"}},
            "a header Authorization",
        ),
    ],
)
def test_a_mistake_ends_the_start_with_a_sentence(entry: dict[str, Any], says: str) -> None:
    """Which has no value in it."""
    with pytest.raises(ValueError) as caught:
        config_of(entry)
    assert says in str(caught.value) and "the server far" in str(caught.value)
    assert "word" not in str(caught.value).replace("auth.password", "")
