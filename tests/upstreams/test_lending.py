"""Which connection a call gets when the server behind it no longer answers, and what is told of the call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastmcp.exceptions import ToolError
from gateway_process import WAIT_SECONDS, eventually
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from upstream_by_hand import HELLO, posted_to, tool
from upstream_process import fronted

from atlas.errors import UpstreamMissing
from atlas.upstreams import connections, upstream
from atlas.upstreams.config import Transport, UpstreamConfig


class Sleeper:
    """A server with sessions that answers until it falls asleep; then it takes what comes, and is silent."""

    def __init__(self) -> None:
        self.is_asleep = False
        self.asked: list[str] = []  # while it is asleep
        self.ended: list[str] = []  # sessions
        self.calls = 0
        self.handshake_seconds = 0.0
        self._sessions = 0
        self._over = asyncio.Event()

    async def _meet(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.ended.append(request.headers["mcp-session-id"])
            return Response()
        if request.method != "POST":
            return Response(status_code=405)
        message = await request.json()
        if self.is_asleep:
            self.asked.append(message["method"])
            await self._over.wait()
        return await self._answer(message)

    async def _answer(self, message: dict[str, Any]) -> Response:
        headers, method = {"Connection": "close"}, message["method"]
        if "id" not in message:
            return Response(status_code=202, headers=headers)
        results: dict[str, Any] = {"initialize": HELLO, "tools/list": {"tools": [tool("do")]}, "ping": {}}
        if method == "initialize":
            await asyncio.sleep(self.handshake_seconds)
            self._sessions += 1
            headers["Mcp-Session-Id"] = f"session-{self._sessions}"
        if method == "tools/call":
            self.calls += 1
            await self._until_all_are_here()
            results[method] = {"content": [{"type": "text", "text": "done"}]}
        said = (
            {"result": results[method]} if method in results else {"error": {"code": -32601, "message": ""}}
        )
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"]} | said, headers=headers)

    async def _until_all_are_here(self) -> None:
        """Answer three calls at once, so that each has a connection to itself."""

        async def are_here() -> bool:
            return self.calls >= 3

        await eventually(are_here)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[dict[str, Any]]:
        """What stands in the file for it, while it listens."""
        methods = ("POST", "GET", "DELETE")
        async with posted_to(self._meet, methods=methods, timeout_graceful_shutdown=0) as (_, entry):
            try:
                yield entry
            finally:
                self._over.set()


async def test_a_call_for_a_server_that_fell_asleep_was_not_sent_and_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Right: one session is asked, and the others go with it. Wrong: all are asked in turn."""
    monkeypatch.setattr(upstream, "LIST_SECONDS", 600.0)
    sleeper = Sleeper()
    async with sleeper.listening() as entry, fronted(far=entry) as front:
        await front.until_there("far")
        await asyncio.gather(*(front.call("far_do") for _ in range(3)))
        lender = front.upstreams.all[0]._connections
        assert len(lender._idle) == 3
        for idle in lender._idle:
            idle.used_at -= 60  # as if it had been unused for a while
        sleeper.is_asleep = True
        monkeypatch.setattr(connections, "PING_SECONDS", 0.3)
        monkeypatch.setattr(connections, "LEND_SECONDS", 1.0)
        with pytest.raises(ToolError, match="cannot be reached: it did not answer within 1 second") as caught:
            await front.call("far_do")
        assert isinstance(caught.value.__cause__, UpstreamMissing)
        assert sleeper.asked.count("ping") == 1 and "tools/call" not in sleeper.asked
        assert lender._idle == []


async def test_each_call_at_once_gets_its_connection_from_a_server_that_shakes_hands_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Right: the time counts for each connection. Wrong: who waits for a turn is told of no answer."""
    sleeper = Sleeper()
    async with sleeper.listening() as entry, fronted(far=entry) as front:
        await front.until_there("far")
        sleeper.handshake_seconds = 2.0
        monkeypatch.setattr(connections, "LEND_SECONDS", 5.0)
        results = await asyncio.gather(*(front.call("far_do") for _ in range(3)))
    assert len(results) == 3 and sleeper.calls == 3


async def test_a_caller_that_is_stopped_while_a_session_is_asked_leaves_no_connection() -> None:
    """Right: the session is ended. Wrong: no one knows of it, and the server keeps it."""

    async def hear(message: Any) -> None:
        """Nothing is announced."""

    sleeper = Sleeper()
    async with sleeper.listening() as entry:
        config = UpstreamConfig(name="far", way=Transport.HTTP, prefix="far", url=entry["url"])
        lender = connections.Connections(config, hear)
        async with lender.lend("legacy") as connection:
            await connection.request(lambda client: client.ping())
        connection.used_at -= 60
        sleeper.is_asleep = True
        lending = asyncio.ensure_future(lender.lend("legacy").__aenter__())

        async def is_asked() -> bool:
            return "ping" in sleeper.asked

        async def is_ended() -> bool:
            return sleeper.ended == ["session-1"]

        await eventually(is_asked)
        lending.cancel()
        await asyncio.wait((lending,), timeout=WAIT_SECONDS)
        assert lending.cancelled() and lender._idle == []
        await eventually(is_ended)
        await lender.close()
