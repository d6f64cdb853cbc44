"""Servers that want OAuth: a person signs in, and the gateway keeps, uses and renews the tokens."""

import asyncio
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from fastmcp.exceptions import ToolError
from fastmcp.server.auth.providers import in_memory
from gateway_process import text_of
from mcp.shared.auth import OAuthClientInformationFull
from ports import kept_port
from pydantic import AnyUrl
from signing_server import signed_in, signing_server
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from upstream_by_hand import posted_to
from upstream_process import Front, fronted

from atlas.errors import UpstreamMissing
from atlas.upstreams import upstream

SIGN_IN = "a person has to sign in: run `python -m atlas.upstreams login far`"
AGAIN = "a person has to sign in again: run `python -m atlas.upstreams login far`"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen within half a minute is seen at once."""
    monkeypatch.setattr(upstream, "LIST_SECONDS", 0.2)
    monkeypatch.setattr(upstream, "LONGEST_REST", 0.5)


async def refusal(front: Front) -> str:
    """What an agent reads of a call that is not sent."""
    with pytest.raises(ToolError) as caught:
        await front.call("far_note", text="too early")
    assert isinstance(caught.value.__cause__, UpstreamMissing)
    return str(caught.value)


def kept(data: Path) -> dict[str, Any]:
    """What is in the file of the server."""
    content: dict[str, Any] = json.loads((data / "upstream-tokens" / "far.json").read_text())
    return content


@pytest.mark.parametrize("way", ["http", "sse"])
async def test_a_person_signs_in_and_again_when_the_server_took_the_tokens_back(
    way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No token, a first login, a token that ended, one that was revoked, and a second login; no restart."""
    data = tmp_path / "data"
    async with signing_server(way) as far, fronted(data, far=far.entry) as front:
        assert await front.until_missing("far") == SIGN_IN
        assert SIGN_IN in str(front.upstreams.unknown("far_note"))

        assert (await signed_in(data, far=far.entry))[0] == 0
        await front.until_there("far")
        assert text_of(await front.call("far_note", text="one")) == "noted one"

        before = kept(data)
        far.authority.end_access()
        assert text_of(await front.call("far_note", text="two")) == "noted two"
        after = kept(data)
        assert before["access_token"] != after["access_token"]
        assert before["refresh_token"] != after["refresh_token"]

        far.authority.revoke()
        assert AGAIN in await refusal(front)
        assert await front.until_missing("far") == AGAIN
        shown = far.authority.unknown
        assert AGAIN in await refusal(front)
        assert far.authority.unknown == shown  # a token that is worth nothing is not shown twice

        assert (await signed_in(data, far=far.entry))[0] == 0
        await front.until_there("far")
        assert text_of(await front.call("far_note", text="three")) == "noted three"
    assert far.calls == ["one", "two", "three"]
    assert {one.rstrip("/") for one in far.authority.resources} == {far.entry["url"]}
    assert not [token for token in far.authority.given if token in caplog.text]


async def test_the_tokens_are_readable_by_the_gateway_alone(tmp_path: Path) -> None:
    """The folder and each file in it, under any umask."""
    data = tmp_path / "data"
    before = os.umask(0)
    try:
        async with signing_server() as far:
            status, said = await signed_in(data, far=far.entry)
    finally:
        os.umask(before)
    assert status == 0 and "The gateway can use far now" in said
    folder = data / "upstream-tokens"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"far.json": 0o600, "far.lock": 0o600}
    assert not [token for token in far.authority.given if token in said]


async def test_two_gateways_renew_tokens_that_rotate_without_losing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokens end while both work; no refresh token is ever shown twice."""
    monkeypatch.setattr(in_memory, "DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS", 11)
    data = tmp_path / "data"
    async with signing_server() as far:
        assert (await signed_in(data, far=far.entry))[0] == 0
        async with fronted(data, far=far.entry) as one, fronted(data, far=far.entry) as other:
            await one.until_there("far")
            await other.until_there("far")
            for turn in range(3):
                far.authority.end_access()
                calls = [
                    front.call("far_note", text=f"{turn} {number} {place}")
                    for number in range(4)
                    for place, front in enumerate((one, other))
                ]
                await asyncio.gather(*calls)
        assert len(far.calls) == len(set(far.calls)) == 24
        assert far.authority.renewals >= 3 and far.authority.unknown == 0


async def test_a_token_is_for_the_address_where_the_person_signed_in(tmp_path: Path) -> None:
    """Right: another address in the file, or a redirect elsewhere, gets no token."""
    data, came = tmp_path / "data", []

    async def steal(request: Request) -> Response:
        came.append(request.headers.get("Authorization"))
        return Response(status_code=202)

    async with signing_server() as far, posted_to(steal, path="/{rest:path}") as (_, elsewhere):
        assert (await signed_in(data, far=far.entry))[0] == 0
        async with fronted(data, far=elsewhere) as front:
            assert await front.until_missing("far") == AGAIN

        async def lead_on(request: Request) -> Response:
            return RedirectResponse(elsewhere["url"], status_code=307)

        async with posted_to(lead_on) as (_, leading):
            file = data / "upstream-tokens" / "far.json"
            file.write_text(json.dumps(kept(data) | {"url": leading["url"]}))
            async with fronted(data, far=leading) as front:
                assert "leads to another place" in await front.until_missing("far")
    assert came == []


async def test_an_authorization_server_that_is_down_asks_no_person(tmp_path: Path) -> None:
    """Right: the token is not lost, so nothing but the reason is said, and it is tried again."""
    data = tmp_path / "data"
    async with signing_server() as far:
        assert (await signed_in(data, far=far.entry))[0] == 0
        file = data / "upstream-tokens" / "far.json"
        right = kept(data)
        file.write_text(json.dumps(right | {"token_url": "http://127.0.0.1:9/token"}))
        far.authority.end_access()
        async with fronted(data, far=far.entry) as front:
            problem = await front.until_missing("far")
            assert problem.startswith("its token has ended and is not renewed: its authorization server")
            file.write_text(json.dumps(right))
            await front.until_there("far")


async def test_a_token_that_the_disk_does_not_take_is_used_and_renewed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right: the one in the file is spent by then, so a person would be asked for no reason."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    data = tmp_path / "data"
    async with signing_server() as far:
        assert (await signed_in(data, far=far.entry))[0] == 0
        spent = kept(data)
        async with fronted(data, far=far.entry) as front:
            await front.until_there("far")
            with monkeypatch.context() as disk:
                disk.setattr(os, "fsync", full)
                for text in ("one", "two"):
                    far.authority.end_access()
                    assert text_of(await front.call("far_note", text=text)) == f"noted {text}"
                assert kept(data) == spent
            far.authority.end_access()
            assert text_of(await front.call("far_note", text="three")) == "noted three"
        assert kept(data)["access_token"] in far.authority.access_tokens
        assert far.authority.unknown == 0
        names = {path.name for path in (data / "upstream-tokens").iterdir()}
        assert names == {"far.json", "far.lock"}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"command": "cat"}, "it is a program, and takes its keys from its env"),
        ({"url": "http://127.0.0.1:9/mcp", "headers": {"authorization": "Bearer x"}}, "remove the header"),
        ({"url": "http://127.0.0.1:9/mcp"}, "All connection attempts failed"),
    ],
)
async def test_a_sign_in_that_cannot_be_is_refused_with_a_reason(
    entry: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """And nothing is kept."""
    status, said = await signed_in(tmp_path / "data", far=entry)
    assert status == 1 and says in said and said.startswith("There is no sign-in at far: ")
    assert not (tmp_path / "data").exists()


async def test_a_server_that_asks_for_no_sign_in_is_named(tmp_path: Path) -> None:
    """As is a server that the file does not have."""

    async def post(request: Request) -> Response:
        return Response(status_code=404)

    async with posted_to(post) as (_, entry):
        status, said = await signed_in(tmp_path / "data", far=entry)
        assert status == 1 and "the server answered HTTP 404 and asks for no sign-in" in said
        status, said = await signed_in(tmp_path / "data", "near", far=entry)
        assert status == 1 and "the MCP configuration has no such server (it has: far)" in said


@pytest.mark.parametrize("secret", [None, "secret of the client"], ids=["public", "with a secret"])
async def test_a_client_that_was_registered_by_hand_is_used(secret: str | None, tmp_path: Path) -> None:
    """Right: none is registered beside it, and its redirect address is the one that was said."""
    data = tmp_path / "data"
    port = kept_port()
    client = OAuthClientInformationFull(
        client_id="by-hand",
        client_secret=secret,
        redirect_uris=[AnyUrl(f"http://127.0.0.1:{port}/callback")],
        token_endpoint_auth_method="client_secret_post" if secret else "none",
        scope="notes",
    )
    async with signing_server() as far:
        far.authority.clients["by-hand"] = client
        auth = {"client_id": "by-hand", "scopes": ["notes"]} | ({"client_secret": secret} if secret else {})
        entry = far.entry | {"auth": auth}
        status, said = await signed_in(data, "far", "--port", str(port), far=entry)
        assert status == 0, said
        assert list(far.authority.clients) == ["by-hand"]
        far.authority.end_access()
        async with fronted(data, far=entry) as front:
            await front.until_there("far")
            assert text_of(await front.call("far_note", text="one")) == "noted one"
        assert far.authority.renewals == 1
