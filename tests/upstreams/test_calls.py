"""Calls to servers behind the gateway, over every way: what is answered, lost, or never sent."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.exceptions import ToolError
from gateway_process import WAIT_SECONDS, eventually, text_of
from upstream_by_hand import ByHand, tool
from upstream_process import Front, UpstreamProcess, fronted, noted, stdio_entry

from atlas.errors import AnswerLost, UpstreamMissing
from atlas.grounds.present import tool_facts

pytestmark = pytest.mark.asyncio(loop_scope="module")
WAYS = pytest.mark.parametrize("way", ["stdio", "sse", "http"])
ON_THE_WEB = pytest.mark.parametrize("way", ["sse", "http"])
FIXTURES_TOOLS = {
    "add",
    "note",
    "hang",
    "die",
    "shout",
    "fail",
    "grow",
    "report",
    "ask",
    "received",
    "get_outcome",
}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The file in which the fixture server notes what reached it."""
    return tmp_path / "notes"


@asynccontextmanager
async def behind(way: str, notes: Path, **ours: Any) -> AsyncIterator[Front]:
    """The fixture server behind a front, as `far`."""
    process = None if way == "stdio" else UpstreamProcess(way, notes)
    try:
        if process is not None:
            await process.start()
        entry = stdio_entry(notes) if process is None else process.entry
        async with fronted(far=entry | {"atlas": ours}) as front:
            await front.until_there("far")
            yield front
    finally:
        if process is not None:
            await process.kill()


async def cause_of(front: Front, tool: str, **arguments: Any) -> BaseException | None:
    """Why a call failed, behind the error that FastMCP makes of it."""
    with pytest.raises(ToolError) as caught:
        await front.call(tool, **arguments)
    return caught.value.__cause__


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["stdio", "sse", "http"])
async def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Front]:
    """The fixture server over one of the ways, for the tests that leave it as it is."""
    async with behind(request.param, tmp_path_factory.mktemp("behind") / "notes") as made:
        yield made


async def test_tools_resources_and_prompts_appear_as_the_server_describes_them(front: Front) -> None:
    """Under a prefix, with title, annotations and icons; whose they are is for us to say."""
    assert await front.tool_names() == {f"far_{name}" for name in FIXTURES_TOOLS} | {"get_outcome"}
    async with Client(front.server) as agent:
        [add] = [tool for tool in await agent.list_tools() if tool.name == "far_add"]
        assert (add.title, add.description) == ("Add two numbers", "Add two numbers.")
        assert add.annotations is not None and add.annotations.read_only_hint
        assert add.icons and add.icons[0].mime_type == "image/png"
        assert add.input_schema["required"] == ["a", "b"]
        assert add.meta and (add.meta["io.atlas/upstream"], add.meta["of"]) == ("far", "the tests")
        assert (await agent.call_tool("far_add", {"a": 1, "b": 2})).structured_content == {"sum": 3}
        assert (await tool_facts(front.server, "far_add")).upstream == "far"
        assert [str(one.uri) for one in await agent.list_resources()] == ["notes://far/today"]
        [today] = await agent.read_resource("notes://far/today")
        [monday] = await agent.read_resource("notes://far/day/monday")
        assert (today.text, monday.text) == ("a note of today", "a note of monday")
        greeting = await agent.get_prompt("far_greet", {"name": "Sarah"})
        assert greeting.messages[0].content.text == "Greet Sarah."


async def test_an_error_of_the_tool_is_its_answer(front: Front) -> None:
    """It is passed on as the server gave it."""
    answer = await front.call("far_fail", text="such thing")
    assert answer.is_error and "there is no such thing" in text_of(answer)


@WAYS
async def test_a_server_that_dies_in_the_middle_of_a_call_leaves_its_outcome_unknown(
    way: str, notes: Path
) -> None:
    """The call reached it once and is not repeated, and the server is known to be missing."""
    async with behind(way, notes) as front:
        cause = await cause_of(front, "far_die", text="the last word")
        assert isinstance(cause, AnswerLost), cause
        assert "The server far got the call" in str(cause)
        if way == "stdio":
            assert (await front.call("far_add", a=1, b=2)).structured_content == {"sum": 3}  # a new process
        else:
            await front.until_missing("far")
            assert isinstance(await cause_of(front, "far_add", a=1, b=2), UpstreamMissing)
    assert noted(notes) == ["the last word"]


async def test_a_call_that_left_is_of_unknown_outcome_when_its_connection_breaks_before_any_answer() -> None:
    """Right: the server may have done it. Wrong: it is told that nothing was done."""
    came: list[bytes] = []
    far = ByHand(tools=[tool("do")])

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on each request, and break off where it is a call."""
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)content-length: (\d+)", head) or [b"0"]
        body = await reader.readexactly(int(length))
        if b'"tools/call"' in body:
            came.append(body)
        else:
            behind, onward = await asyncio.open_connection("127.0.0.1", port)
            onward.write(head + body)
            writer.write(await behind.read())
            onward.close()
        writer.close()

    async with far.listening() as entry:
        port = urlsplit(entry["url"]).port
        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        async with fronted(far={"url": place}) as front:
            await front.until_there("far")
            cause = await cause_of(front, "far_do")
        server.close()
    assert isinstance(cause, AnswerLost) and "The server far got the call" in str(cause), cause
    assert len(came) == 1


@WAYS
async def test_fifty_megabytes_are_not_read(way: str, notes: Path) -> None:
    """The outcome is unknown, the event loop stays free, and the next call is answered."""
    async with behind(way, notes) as front:
        longest, watch = [0.0], asyncio.create_task(asyncio.sleep(0))

        async def beat() -> None:
            while True:
                before = time.thread_time()  # its own work, and not that of other programs
                await asyncio.sleep(0.01)
                longest[0] = max(longest[0], time.thread_time() - before)

        watch = asyncio.create_task(beat())
        cause = await cause_of(front, "far_shout", text="loud", megabytes=50)
        watch.cancel()
        assert isinstance(cause, AnswerLost), cause
        assert longest[0] < 2
        await front.until_there("far")
        assert (await front.call("far_add", a=1, b=2)).structured_content == {"sum": 3}
    assert noted(notes) == ["loud"]


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_what_is_long_and_not_too_long_arrives_whole(way: str, notes: Path) -> None:
    """Six megabytes, which FastMCP sends twice in one answer."""
    async with behind(way, notes) as front:
        answer = await front.call("far_shout", text="long", megabytes=6)
        assert len(text_of(answer)) == 6 * 1024 * 1024


@WAYS
async def test_a_call_that_takes_longer_than_it_may_is_of_unknown_outcome(way: str, notes: Path) -> None:
    """The time of the file counts, and other calls go on."""
    async with behind(way, notes, seconds=2) as front:
        far = front.upstreams.all[0]
        hanging = asyncio.create_task(cause_of(front, "far_hang", text="later"))

        async def is_busy() -> bool:
            return noted(notes) == ["later"]

        await eventually(is_busy)
        # The other calls have all the time that a slow machine needs.
        far.config = far.config.model_copy(update={"seconds": 600})
        assert (await front.call("far_add", a=1, b=2)).structured_content == {"sum": 3}
        cause = await asyncio.wait_for(hanging, WAIT_SECONDS)
        assert isinstance(cause, AnswerLost), cause
        assert re.search(r"did not answer within \d+ seconds", str(cause))
        assert (await front.call("far_add", a=2, b=2)).structured_content == {"sum": 4}
    assert noted(notes) == ["later"]


@WAYS
async def test_a_tool_that_comes_while_it_runs_is_offered_and_agents_are_told(way: str, notes: Path) -> None:
    """The server announces the change, and so do we."""
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(message.method)

    async with (
        behind(way, notes) as front,
        Client(front.server, mode="legacy", message_handler=hear) as agent,
    ):
        await agent.list_tools()
        await front.call("far_grow", name="grown")

        async def is_offered() -> bool:
            return "far_grown" in await front.tool_names()

        await eventually(is_offered)
        assert text_of(await front.call("far_grown")) == "I am grown"

        async def is_told() -> bool:
            return "notifications/tools/list_changed" in heard

        await eventually(is_told)


async def test_progress_and_log_messages_reach_the_agent_that_waits(front: Front) -> None:
    """Each in its order."""
    progress: list[tuple[float, str | None]] = []
    logged: list[Any] = []

    async def note_progress(step: float, total: float | None, message: str | None) -> None:
        progress.append((step, message))

    async def note_log(message: Any) -> None:
        logged.append(message.data["msg"])

    async with Client(
        front.server, mode="legacy", progress_handler=note_progress, log_handler=note_log
    ) as agent:
        await agent.call_tool("far_report", {})

        async def has_all() -> bool:
            return len(progress) == len(logged) == 3

        await eventually(has_all)
    assert progress == [(1, "step 1"), (2, "step 2"), (3, "step 3")]
    assert logged == ["at step 1", "at step 2", "at step 3"]


async def test_a_question_of_the_server_reaches_the_agent_whose_call_asks(front: Front) -> None:
    """And without an agent that waits it is refused, which the tool's answer says."""

    async def answer(*question: Any) -> ElicitResult[Any]:
        return ElicitResult(action="accept", content={"value": "green"})

    async with Client(front.server, mode="legacy", elicitation_handler=answer) as agent:
        assert text_of(await agent.call_tool("far_ask", {})) == "accept: green"
    with pytest.raises(ToolError) as refused:
        alone = await front.call("far_ask")
        assert alone.is_error, alone
        raise ToolError(text_of(alone))
    assert not isinstance(refused.value.__cause__, AnswerLost), refused.value


async def test_a_question_of_a_process_that_works_for_two_agents_is_put_to_neither(notes: Path) -> None:
    """No one could tell whose call asks."""
    asked: list[Any] = []

    async def answer(*question: Any) -> ElicitResult[Any]:
        asked.append(question)
        return ElicitResult(action="accept", content={"value": "green"})

    async with (
        behind("stdio", notes) as front,
        Client(front.server, mode="legacy", elicitation_handler=answer) as one,
        Client(front.server, mode="legacy", elicitation_handler=answer) as other,
    ):
        hanging = asyncio.create_task(other.call_tool("far_hang", {"text": "busy"}))

        async def is_busy() -> bool:
            return noted(notes) == ["busy"]

        await eventually(is_busy)
        refused = await one.call_tool("far_ask", {}, raise_on_error=False)
        hanging.cancel()
    assert refused.is_error and asked == []


@ON_THE_WEB
async def test_only_the_headers_of_the_file_reach_a_server(way: str, notes: Path) -> None:
    """Not the agent's Authorization, with which a server could act as the agent."""
    process = UpstreamProcess(way, notes)
    try:
        await process.start()
        async with fronted(far=process.entry | {"headers": {"X-Ours": "from the file"}}) as front:
            await front.until_there("far")
            headers = (await front.call("far_received")).structured_content["headers"]
    finally:
        await process.kill()
    assert headers["x-ours"] == "from the file"
    assert "authorization" not in headers and "cookie" not in headers


async def test_a_program_does_not_get_the_gateways_environment(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets what every program needs, and what the file says."""
    monkeypatch.setenv("ATLAS_REVIEWER_KEY", "the key of the reviewer")
    async with fronted(far=stdio_entry(notes, OURS="from the file")) as front:
        await front.until_there("far")
        variables = (await front.call("far_received")).structured_content["variables"]
    assert variables["OURS"] == "from the file" and "PATH" in variables
    assert not [name for name in variables if name.startswith("ATLAS_")]


async def test_a_program_ends_with_the_gateway(notes: Path) -> None:
    """And one process serves all calls until then."""
    async with behind("stdio", notes) as front:
        answers = await asyncio.gather(*(front.call("far_received") for _ in range(5)))
        [process_id] = {answer.structured_content["process_id"] for answer in answers}

    async def is_gone() -> bool:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        return False

    await eventually(is_gone)
