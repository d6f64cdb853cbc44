"""Redirects of servers: one within the origin is followed, one elsewhere gets no keys and no call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from acceptance.test_told_truly import behind
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from gateway_process import AGENT_KEY, call, eventually, text_of
from kept import store_by_hand
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from upstream_by_hand import ByHand, event, posted_to, tool
from upstream_process import Front, fronted

from atlas.errors import AnswerLost, UpstreamMissing

ERAS = pytest.mark.parametrize("is_modern", [False, True], ids=["handshake", "stateless"])
AGENTS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
KEY = {"headers": {"Authorization": "Bearer key-of-the-file"}}


class Moved:
    """A server at `/mcp/`; what is posted to `/mcp` is sent on as the test says."""

    def __init__(
        self, *, is_modern: bool, status: int = 307, to: str = "/mcp/", calls_only: bool = False
    ) -> None:
        self.status, self.to, self.calls_only = status, to, calls_only
        self.server = ByHand(is_modern=is_modern, tools=[tool("do")])
        self.server.answer = self._answer
        self.calls = 0
        self.behind: int = 200  # the status of the answer to a call

    def _answer(self, message: dict[str, Any]) -> Response | dict[str, Any] | None:
        if message["method"] != "tools/call":
            return None
        self.calls += 1
        if self.behind != 200:
            return PlainTextResponse("a page", status_code=self.behind)
        return {"result": {"content": [{"type": "text", "text": "done"}]}}

    async def post(self, request: Request) -> Response:
        """Send on, or answer."""
        is_call = b'"tools/call"' in await request.body()
        if request.url.path == "/mcp" and (is_call or not self.calls_only):
            return RedirectResponse(self.to, status_code=self.status)
        return await self.server._post(request)

    @asynccontextmanager
    async def fronted(self) -> AsyncIterator[Front]:
        """A front with it behind."""
        async with posted_to(self.post, path="/{rest:path}") as (_, entry), fronted(far=entry | KEY) as front:
            yield front


async def failure_of(front: Front) -> BaseException | None:
    """Why a call is not answered."""
    with pytest.raises(ToolError) as caught:
        await front.call("far_do")
    return caught.value.__cause__


@ERAS
@AGENTS
@pytest.mark.parametrize("status", [301, 307, 308])
async def test_a_redirect_within_the_origin_is_followed(is_modern: bool, mode: str, status: int) -> None:
    """Right: the call is done once. A mount of Starlette redirects `/mcp` to `/mcp/` like this."""
    moved = Moved(is_modern=is_modern, status=status)
    async with moved.fronted() as front:
        await front.until_there("far")
        async with Client(front.server, mode=mode) as agent:
            assert text_of(await agent.call_tool("far_do", {})) == "done"
    assert moved.calls == 1


@ERAS
@pytest.mark.parametrize(("behind", "kind"), [(500, AnswerLost), (401, None)])
async def test_the_status_behind_a_redirect_is_that_of_the_call(
    is_modern: bool, behind: int, kind: type[Exception] | None
) -> None:
    """Right: 500 may come after it was done, and 401 says that nothing was; 307 says neither."""
    moved = Moved(is_modern=is_modern)
    moved.behind = behind
    async with moved.fronted() as front:
        await front.until_there("far")
        cause = await failure_of(front)
    assert f"HTTP {behind}" in str(cause)
    assert isinstance(cause, AnswerLost) == (kind is AnswerLost)
    assert moved.calls == 1


@ERAS
@pytest.mark.parametrize("status", [301, 307, 308])
async def test_nothing_is_sent_to_another_origin(is_modern: bool, status: int) -> None:
    """Right: a sentence, and nothing done; the keys of the file are for one place."""
    came: list[Request] = []

    async def steal(request: Request) -> Response:
        came.append(request)
        return Response(status_code=202)

    async with posted_to(steal, path="/{rest:path}") as (_, elsewhere):
        moved = Moved(is_modern=is_modern, status=status, to=elsewhere["url"], calls_only=True)
        async with moved.fronted() as front:
            await front.until_there("far")
            cause = await failure_of(front)
        assert isinstance(cause, UpstreamMissing) and "leads to another place (http://127.0.0.1:" in str(
            cause
        )
        moved.calls_only = False
        async with moved.fronted() as front:
            assert "leads to another place" in await front.until_missing("far")
    assert moved.calls == 0 and came == []


@pytest.mark.parametrize(
    "to",
    [
        "https://127.0.0.1/mcp",
        "//localhost/mcp",
        "http://user:word@127.0.0.1/mcp",
        "ftp://x",
        "http://[x",
        "file:///",
    ],
)
async def test_every_other_place_is_another_one(to: str) -> None:
    """Right: another scheme, host, port or user, and what is no address at all, end it the same way."""
    moved = Moved(is_modern=False, to=to, calls_only=True)
    async with moved.fronted() as front:
        await front.until_there("far")
        cause = await failure_of(front)
    assert isinstance(cause, UpstreamMissing) and "leads to another place" in str(cause)
    assert "word" not in str(cause)


@ERAS
@pytest.mark.parametrize("status", [302, 303])
async def test_a_redirect_that_may_come_after_the_deed_is_of_unknown_outcome(
    is_modern: bool, status: int
) -> None:
    """Right: old servers answer like this when all is done, so it is not sent again."""
    moved = Moved(is_modern=is_modern, status=status, calls_only=True)
    async with moved.fronted() as front:
        await front.until_there("far")
        cause = await failure_of(front)
    assert isinstance(cause, AnswerLost) and f"HTTP {status}" in str(cause)
    assert moved.calls == 0


async def test_a_redirect_in_a_circle_ends() -> None:
    """Right: nothing was done, and the server is named as missing."""
    moved = Moved(is_modern=False, to="/mcp", calls_only=True)
    async with moved.fronted() as front:
        await front.until_there("far")
        cause = await failure_of(front)
    assert isinstance(cause, UpstreamMissing) and "leads on more than 5 times" in str(cause)


class Asking(ByHand):
    """At work on a call it asks the agent on its standing stream, and sends the answer on elsewhere."""

    def __init__(self) -> None:
        super().__init__(tools=[tool("now")])
        self.is_at_work, self.was_answered = asyncio.Event(), asyncio.Event()
        self.deeds = 0

    async def _post(self, request: Request) -> Response:
        if request.method == "GET":
            return StreamingResponse(self._question(), media_type="text/event-stream")
        message = await request.json()
        if "method" not in message:
            self.was_answered.set()
            return RedirectResponse("http://127.0.0.1:9/mcp", status_code=307)
        if message["method"] != "tools/call":
            answer = await super()._post(request)
            answer.headers["Mcp-Session-Id"] = "one"  # without it the gateway opens no standing stream
            return answer
        self.is_at_work.set()
        await self.was_answered.wait()
        self.deeds += 1
        await eventually(request.is_disconnected)  # the gateway has given the call up
        return Response(status_code=202)

    async def _question(self) -> AsyncIterator[bytes]:
        yield b": hello\n\n"
        await self.is_at_work.wait()
        schema = {"type": "object", "properties": {}}
        params = {"message": "Sure?", "requestedSchema": schema}
        yield event({"id": 77, "method": "elicitation/create", "params": params})
        await self.was_answered.wait()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[dict[str, Any]]:
        """What stands in the file for it, while it listens."""
        kept = {"methods": ["GET", "POST"], "timeout_graceful_shutdown": 0}
        async with posted_to(self._post, **kept) as (_, entry):
            yield entry


async def test_a_refused_redirect_of_an_answer_says_nothing_of_the_call_at_work(tmp_path: Path) -> None:
    """Right: the server asked in the midst of its work and may have done it; "nothing was done" is a lie."""

    async def agree(*_: Any) -> dict[str, Any]:
        return {}

    server = Asking()
    async with behind(tmp_path, server, ATLAS_GRACE_SECONDS="20") as gateway:
        transport = StreamableHttpTransport(f"{gateway.url}/mcp", auth=AGENT_KEY)
        async with Client(transport, mode="legacy", elicitation_handler=agree) as agent:
            said = text_of(await call(agent, "far_now"))
        with closing(store_by_hand(gateway.data)) as connection:
            [(status,)] = connection.execute("SELECT status FROM cases").fetchall()
    assert (status, server.deeds) == ("OUTCOME_UNKNOWN", 1), said
    assert said.startswith("OUTCOME UNKNOWN") and "leads to another place" in said
