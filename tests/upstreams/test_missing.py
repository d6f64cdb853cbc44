"""Servers that are down, hang, refuse, come back, or take names that are not theirs."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import NotFoundError, ToolError
from gateway_process import WAIT_SECONDS, call, eventually, text_of
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from upstream_by_hand import posted_to
from upstream_process import UpstreamProcess, fronted, noted, stdio_entry

from atlas import upstreams
from atlas.errors import AnswerLost, AtlasError, CallRefused, UpstreamMissing
from atlas.upstreams import connections, upstream
from atlas.upstreams.config import Transport, UpstreamConfig

ON_THE_WEB = pytest.mark.parametrize("way", ["sse", "http"])


class Silent:
    """Listens, counts who comes, and says nothing or closes at once."""

    def __init__(self, *, closes: bool) -> None:
        self.came = 0
        self._closes = closes
        self._server: asyncio.Server | None = None

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        if not self._closes:
            await reader.read()
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[dict[str, Any]]:
        """What stands in the file for it, while it listens."""
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        try:
            yield {"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"}
        finally:
            server.close()


@asynccontextmanager
async def answering(
    answer: Callable[[dict[str, Any]], Response],
) -> AsyncIterator[tuple[dict[str, Any], list[str]]]:
    """An MCP server by hand, whose answer to a call is given, and the texts of the calls it got."""
    calls: list[str] = []

    async def post(request: Request) -> Response:
        message = await request.json()
        method = message["method"]
        if method == "tools/call":
            calls.append(message["params"]["arguments"]["text"])
            return answer(message)
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "by hand", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "do", "inputSchema": {"type": "object"}}]},
        }
        if "id" not in message:
            return Response(status_code=202)
        if method not in results:
            error = {"code": -32601, "message": "Method not found"}
            return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error})
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": results[method]})

    async with posted_to(post) as (_, entry):
        yield entry, calls


async def test_a_gateway_starts_without_its_servers_and_says_which_are_missing_and_why(
    tmp_path: Path,
) -> None:
    """One that is not there, one that does not answer, and a program that does not exist."""
    async with Silent(closes=False).listening() as hangs:
        dead = {"url": "http://127.0.0.1:9/mcp"}
        async with fronted(dead=dead, hangs=hangs, typo={"command": "no-such-program"}) as front:
            await asyncio.gather(*(one.known.wait() for one in front.upstreams.all if one.name != "hangs"))
            report = front.upstreams.report()
            assert report["dead"]["problem"] == "All connection attempts failed"
            assert report["hangs"]["problem"] == "it was not reached yet"
            assert report["typo"]["problem"] == "its command, or its working directory, was not found"
            reason = front.upstreams.unknown("dead_anything")
            assert isinstance(reason, ToolError)
            assert str(reason) == "The server dead cannot be reached: All connection attempts failed."
            assert isinstance(front.upstreams.unknown("nobody_has"), NotFoundError)
            async with Client(front.server) as agent:
                [place] = [tool for tool in await agent.list_tools() if tool.name == "get_outcome"]
            assert "The server typo cannot be reached: its command, or" in str(place.description)


async def test_a_program_that_ends_at_once_is_missing(tmp_path: Path) -> None:
    """Also when it has printed something before."""
    async with fronted(brief={"command": "sh", "args": ["-c", "echo hello; exit 7"]}) as front:
        assert await front.until_missing("brief") == "its process ended with status 7"


@ON_THE_WEB
async def test_a_server_that_comes_later_and_comes_back_needs_no_restart(way: str, tmp_path: Path) -> None:
    """Its tools stay known while it is away, and a call to one says why it fails."""
    process = UpstreamProcess(way, tmp_path / "notes")
    try:
        await process.start()
        await process.kill()  # the port is known now
        async with fronted(far=process.entry) as front:
            assert "far_add" not in await front.tool_names()
            await process.start()
            await front.until_there("far")
            assert (await front.call("far_add", a=1, b=2)).structured_content == {"sum": 3}
            await process.kill()
            with pytest.raises(ToolError, match="The server far cannot be reached: ") as caught:
                await front.call("far_add", a=1, b=2)
            assert isinstance(caught.value.__cause__, UpstreamMissing), caught.value.__cause__
            assert "far_add" in await front.tool_names()
            await process.start()
            await front.until_there("far")
            assert (await front.call("far_add", a=1, b=2)).structured_content == {"sum": 3}
    finally:
        await process.kill()


async def test_many_calls_to_a_server_that_is_away_are_no_storm(tmp_path: Path) -> None:
    """They share the attempts to reach it, of which there is one a second at most."""
    silent = Silent(closes=True)
    async with silent.listening() as entry, fronted(far=entry) as front:
        await front.until_missing("far")
        before, began = silent.came, time.monotonic()
        failures = await asyncio.gather(
            *(front.upstreams.all[0].read_resource("notes://today") for _ in range(100)),
            return_exceptions=True,
        )
        assert all(isinstance(failure, UpstreamMissing) for failure in failures)
        assert silent.came - before <= 2 * (1 + time.monotonic() - began)


def error_of(status: int) -> Callable[[dict[str, Any]], Response]:
    """Answers with a status and a page."""
    return lambda message: PlainTextResponse("a page", status_code=status)


def protocol_error(message: dict[str, Any]) -> Response:
    """Answers with an error of its own, of a code that the SDK uses as well."""
    error = {"code": -32000, "message": "no more of these"}
    return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error})


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (error_of(500), AnswerLost, "HTTP 500"),  # it may have been done before it failed
        (error_of(502), AnswerLost, "HTTP 502"),
        (error_of(200), AnswerLost, "the connection ended"),  # a page that is no answer
        (lambda message: Response(status_code=202), AnswerLost, "the connection ended"),
        (lambda message: JSONResponse({"jsonrpc": "2.0"}), AnswerLost, "the connection ended"),
        (lambda message: JSONResponse({"no": "result"} | {"id": 1}), AnswerLost, "the connection ended"),
        (error_of(401), CallRefused, "HTTP 401"),
        (error_of(413), CallRefused, "HTTP 413"),
        (error_of(408), AnswerLost, "HTTP 408"),  # of a proxy that had passed it on,
        (
            lambda message: RedirectResponse("http://127.0.0.1:9/"),
            UpstreamMissing,
            "leads to another place (http://127.0.0.1:9)",
        ),
        (protocol_error, None, "no more of these"),
    ],
)
async def test_what_an_answer_over_http_means(
    answer: Callable[[dict[str, Any]], Response], kind: type[Exception] | None, says: str
) -> None:
    """Nothing was done, or no one knows, or it is the answer; in each case the call was sent once."""
    async with answering(answer) as (entry, calls), fronted(far=entry) as front:
        await front.until_there("far")
        with pytest.raises(ToolError) as caught:
            await front.call("far_do", text="once")
        cause = caught.value.__cause__
        assert (type(cause) is kind) if kind else not isinstance(cause, AtlasError), cause
        assert says in str(caught.value)
        assert calls == ["once"]


async def test_a_call_for_which_no_connection_is_left_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits behind calls that hang is told so after a while."""
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.2)
    process = UpstreamProcess("http", tmp_path / "notes")
    try:
        await process.start()
        async with fronted(far=process.entry) as front:
            await front.until_there("far")
            free = front.upstreams.all[0]._connections._free
            hanging = [asyncio.create_task(front.call("far_hang", text="busy")) for _ in range(15)]

            async def is_full() -> bool:
                return free.locked() and len(noted(process.notes)) == 15

            await eventually(is_full)
            with pytest.raises(ToolError, match="nothing was done: 16 connections to it are in use"):
                await front.call("far_note", text="one too many")
            for call_that_hangs in hanging:
                call_that_hangs.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            assert text_of(await front.call("far_note", text="free again")) == "noted free again"
    finally:
        await process.kill()
    assert noted(process.notes) == ["busy"] * 15 + ["free again"]


async def test_a_process_that_answers_no_one_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless a call is open on it, which may be what keeps it busy."""
    monkeypatch.setattr(upstream, "LIST_SECONDS", 600.0)  # it is asked when this test says so
    async with fronted(far=stdio_entry(tmp_path / "notes")) as front:
        await front.until_there("far")
        first = (await front.call("far_received")).structured_content["process_id"]
        os.kill(first, signal.SIGSTOP)
        with monkeypatch.context() as while_it_stands_still:  # a process that runs has its 30 seconds
            while_it_stands_still.setattr(upstream, "CONNECT_SECONDS", 0.2)
            front.upstreams.all[0]._stale.set()
            assert await front.until_missing("far") == "it does not say what it offers"
        await front.until_there("far")
        assert (await front.call("far_received")).structured_content["process_id"] != first


async def test_an_agent_that_shakes_hands_reaches_a_server_that_does_not() -> None:
    """The wanted era is given up where a server answers that it does not speak it."""

    async def post(request: Request) -> Response:
        message = await request.json()
        if message["method"] == "server/discover":
            known: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0}
            result = known | {"cacheScope": "private", "resultType": "complete"}
            return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})
        data = {"supported": ["2026-07-28"], "requested": "2025-11-25"}
        error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
        return JSONResponse({"jsonrpc": "2.0", "id": message.get("id"), "error": error}, status_code=400)

    async def hear(message: Any) -> None:
        """Nothing is announced."""

    async with posted_to(post) as (_, entry):
        config = UpstreamConfig(name="far", way=Transport.HTTP, prefix="far", url=entry["url"])
        lender = connections.Connections(config, hear)
        async with lender.lend("legacy") as connection:
            assert connection.client.protocol_version == "2026-07-28"
        await lender.close()


async def test_a_session_that_the_server_forgot_costs_no_call(tmp_path: Path) -> None:
    """It is asked whether it still exists before a call is sent, and the call is sent on another."""
    notes = tmp_path / "notes"
    process = UpstreamProcess("http", notes)
    try:
        await process.start()
        async with fronted(far=process.entry) as front, Client(front.server, mode="legacy") as agent:
            await front.until_there("far")
            await agent.call_tool("far_note", {"text": "one"})
            await process.kill()
            await front.until_missing("far")
            await process.start()
            await front.until_there("far")
            for idle in front.upstreams.all[0]._connections._idle:
                idle.used_at -= 60  # as if it had been unused for a while
            answer = await call(agent, "far_note", text="two")
            assert text_of(answer) == "noted two"
    finally:
        await process.kill()
    assert noted(notes) == ["one", "two"]


async def test_a_name_belongs_to_the_gateway_first_and_then_to_the_first_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without prefixes names clash: the second server's are not offered, and that is reported.

    The order of the file decides during the start. After it a name stays with the server that has it.
    """
    monkeypatch.setattr(upstreams, "START_SECONDS", WAIT_SECONDS)  # both come, on any machine
    fixture = stdio_entry(tmp_path / "notes")
    async with fronted(
        first=fixture | {"atlas": {"prefix": "", "tools": {"include": ["add", "n*"]}}},
        second=fixture | {"atlas": {"prefix": "", "tools": {"exclude": ["add", "shout"]}}},
    ) as front:
        await front.until_there("first")

        async def is_reported() -> bool:
            problem = front.upstreams.report()["second"].get("problem")
            return problem == "its tools get_outcome, note are hidden, because others have their names"

        await eventually(is_reported)
        tools = {
            tool.name: (tool.meta or {}).get("io.atlas/upstream") for tool in await front.server.list_tools()
        }
        assert (tools["add"], tools["note"], tools["hang"], tools["get_outcome"]) == (
            "first",
            "first",
            "second",
            None,
        )
        assert "shout" not in tools
        assert (await front.call("get_outcome")).content[0].text == "the gateway's own"
