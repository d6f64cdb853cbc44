"""An agent's call that is held: it is answered in time, told where it stands, and heard by its tool."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from acceptance.task_client import task_client
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import (
    AGENT_KEY,
    REFERENCE,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    text_of,
    waiting_case,
)
from kept import store_by_hand
from sse import LeavingTransport

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = Path(__file__).parent / "gateway_with_tools.py"
POLICY = 'unknown_tools = "person"\n'
KINDS = ("sse", "legacy", "2026-07-28")
TRIES = 10
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway that holds calls that wait for a person, with tools that talk."""
    process = GatewayProcess(
        tmp_path_factory.mktemp("waiting"), script=SCRIPT, ATLAS_REVIEW_GRACE_SECONDS="20"
    )
    await process.start()
    yield process
    await process.kill()


class Heard:
    """What an agent is told while it waits."""

    def __init__(self) -> None:
        self.progress: list[tuple[float, str | None]] = []
        self.words: list[str] = []

    async def on_progress(self, progress: float, total: float | None, message: str | None) -> None:
        """A progress notification came."""
        self.progress.append((progress, message))

    def says(self, word: str) -> bool:
        """Whether the tool has said a word."""
        return any(message == word for _, message in self.progress)

    async def on_log(self, message: Any) -> None:
        """A log message came."""
        self.words.append(str(message.data["msg"] if isinstance(message.data, dict) else message.data))


@contextlib.asynccontextmanager
async def listening(
    gateway: GatewayProcess, kind: str, heard: Heard, **options: Any
) -> AsyncIterator[Client[Any]]:
    """An agent that notes what it is told."""
    transport: Any = (
        LeavingTransport(f"{gateway.url}/mcp/sse", auth=AGENT_KEY)
        if kind == "sse"
        else StreamableHttpTransport(f"{gateway.url}/mcp", auth=AGENT_KEY)
    )
    mode = {} if kind == "sse" else {"mode": kind}
    async with Client(
        transport,
        **mode,
        timeout=WAIT_SECONDS,
        progress_handler=heard.on_progress,
        log_handler=heard.on_log,
        **options,
    ) as agent:
        yield agent


@EVERY_KIND
async def test_a_call_that_a_person_decides_in_time_is_answered_with_its_result(
    running: GatewayProcess, kind: str
) -> None:
    """One call, one answer; meanwhile the agent is told who has to decide, and hears the tool."""
    heard, word = Heard(), f"hello {kind}"
    async with listening(running, kind, heard) as agent:
        asked = asyncio.create_task(call(agent, "talk", word=word))
        await running.decide(await waiting_case(running, word))
        result = await asked
    assert text_of(result) == f"said {word}" and not result.is_error
    assert [message for _, message in heard.progress][-2:] == [f"begin {word}", f"end {word}"]
    assert any("PENDING REVIEW" in (message or "") for _, message in heard.progress)
    values = [value for value, _ in heard.progress]
    assert values == sorted(values), "progress never goes back"
    if kind != "2026-07-28":  # where a client has to ask for log messages
        assert heard.words == [f"hear {word}"]


@EVERY_KIND
async def test_a_rejection_in_time_is_answered_with_its_reason(running: GatewayProcess, kind: str) -> None:
    """The reviewer's words reach the agent in the call itself."""
    word = f"no {kind}"
    async with listening(running, kind, Heard()) as agent:
        asked = asyncio.create_task(call(agent, "talk", word=word))
        await running.decide(await waiting_case(running, word), "REJECTED", reason="not today")
        result = await asked
    assert result.is_error and "not today" in text_of(result)


@EVERY_KIND
async def test_a_tool_does_not_see_the_key_of_the_agent_that_waits(
    running: GatewayProcess, kind: str
) -> None:
    """It is the gateway that calls it, with the agent at the other end of the line and nothing of its own."""
    async with listening(running, kind, Heard()) as agent:
        asked = asyncio.create_task(call(agent, "headers", word=f"seen {kind}"))
        await running.decide(await waiting_case(running, f"seen {kind}"))
        assert text_of(await asked) == f"seen {kind} {{}}"


@EVERY_KIND
async def test_a_tool_goes_on_talking_when_its_agent_has_left(running: GatewayProcess, kind: str) -> None:
    """Notifications to no one are no error of the tool, on no transport; the outcome is there later."""
    word, release = f"gone {kind}", running.directory / "release"
    release.unlink(missing_ok=True)
    begun = running.directory / "ran.txt"
    begun.unlink(missing_ok=True)
    heard = Heard()
    with contextlib.suppress(Exception):
        async with listening(running, kind, heard) as agent:
            asked = asyncio.create_task(call(agent, "talk_on", word=word))
            case_id = await waiting_case(running, word)
            await running.decide(case_id)

            async def is_heard() -> bool:
                return (value := [v for v, m in heard.progress if m == word]) != [] and len(value) > 3

            await eventually(is_heard)
            asked.cancel()
    release.touch()
    async with running.agent() as agent:
        result = await outcome(agent, case_id)
    assert not result.is_error and f"talked on {word}" in text_of(result)


async def test_a_tool_goes_on_talking_when_its_agent_was_answered(tmp_path: Path) -> None:
    """The grace ends while the tool runs: the notice is the answer, and what is sent later harms no one."""
    gateway = GatewayProcess(
        tmp_path, script=SCRIPT, ATLAS_GRACE_SECONDS="3", ATLAS_REVIEW_GRACE_SECONDS="1.5"
    )
    await gateway.start()
    try:
        for kind in KINDS:
            heard = Heard()
            async with listening(gateway, kind, heard) as agent:
                for attempt in range(TRIES):  # on a slow machine the grace may end before the tool runs
                    word = f"late {kind} {attempt}"
                    asked = asyncio.create_task(call(agent, "talk_on", word=word))
                    await gateway.decide(await waiting_case(gateway, word))
                    answered = text_of(await asked)
                    if answered.startswith("EXECUTING (Ref: evt_") and heard.says(word):
                        break
                assert answered.startswith("EXECUTING (Ref: evt_") and heard.says(word), answered
                (tmp_path / "release").touch()
                result = await outcome(agent, REFERENCE.findall(answered)[0])
            assert not result.is_error and f"talked on {word}" in text_of(result)
            (tmp_path / "release").unlink()
    finally:
        await gateway.kill()


@pytest.mark.parametrize("kind", ["sse", "legacy"])
async def test_a_tool_can_ask_its_waiting_agent(running: GatewayProcess, kind: str) -> None:
    """Elicitation reaches the agent that waits, and its answer the tool."""

    async def answer(message: str, response_type: Any, params: Any, context: Any) -> Any:
        return ElicitResult(action="accept", content={"value": "Maria"})

    word = f"you {kind}"
    async with listening(running, kind, Heard(), elicitation_handler=answer) as agent:
        asked = asyncio.create_task(call(agent, "ask", word=word))
        await running.decide(await waiting_case(running, word))
        assert text_of(await asked) == f"{word} is Maria"


async def test_a_tool_that_talks_is_executed_although_no_one_waits(tmp_path: Path) -> None:
    """Answered PENDING REVIEW, the gateway killed and started again, approved: the tool fails at nothing."""
    gateway = GatewayProcess(tmp_path, script=SCRIPT)
    await gateway.start()
    try:
        async with gateway.agent() as agent:
            case_id = reference_in(await call(agent, "talk", word="later"))
            asking = reference_in(await call(agent, "ask", word="you"))
            await gateway.kill()
        await gateway.start()
        await gateway.decide(case_id)
        await gateway.decide(asking)
        async with gateway.agent() as agent:
            assert "said later" in text_of(await outcome(agent, case_id))
            refused = await outcome(agent, asking)
            assert text_of(refused).startswith(f"EXECUTED (Ref: {asking}). The tool answered with an error.")
            assert refused.structured_content["is_error"]
    finally:
        await gateway.kill()


async def test_a_tool_asks_and_the_answer_is_a_call_of_its_own(running: GatewayProcess) -> None:
    """Each round is decided by itself, and the second runs with the answers that were approved."""

    async def answer(message: str, response_type: Any, params: Any, context: Any) -> Any:
        return ElicitResult(action="accept", content={"desk": "4"})

    async with listening(running, "2026-07-28", Heard(), elicitation_handler=answer) as agent:
        asked = asyncio.create_task(call(agent, "ask_again", word="round"))
        first = await waiting_case(running, "round")
        await running.decide(first)
        second = await waiting_case(running, "round")
        assert second != first
        await running.decide(second)
        assert text_of(await asked) == "round at {'desk': '4'} after asked round"


ROUND = {"inputResponses": {"desk": {"action": "accept", "content": {"desk": "9"}}}}


async def test_an_answer_to_a_tool_is_kept_and_used_although_its_agent_has_left(tmp_path: Path) -> None:
    """The second round waits, the gateway is killed: what was approved is what the tool gets."""
    gateway = GatewayProcess(tmp_path, script=SCRIPT)
    await gateway.start()
    try:
        async with task_client(gateway.url, AGENT_KEY, declares=False) as agent:
            first = reference_in(await agent.call_tool("ask_again", {"word": "kept"}))
            await gateway.decide(first)
            told = await agent.call_tool("get_outcome", {"ref": first, "wait_seconds": 20})
            assert "again with the same arguments" in text_of(told)
            asks: Any = await agent.session.call_tool(
                "ask_again", {"word": "kept"}, allow_input_required=True
            )
            assert list(asks.input_requests) == ["desk"]
            answers: Any = ROUND["inputResponses"]
            second = reference_in(
                await agent.session.call_tool(
                    "ask_again",
                    {"word": "kept"},
                    input_responses=answers,
                    request_state=asks.request_state,
                )
            )
        await gateway.kill()
        await gateway.start()
        await gateway.decide(second)
        async with gateway.agent() as agent:
            done = text_of(await outcome(agent, second))
    finally:
        await gateway.kill()
    assert "kept at {'desk': '9'} after asked kept" in done


async def test_an_answer_to_a_tool_that_was_changed_is_not_used(tmp_path: Path) -> None:
    """What the agent added is part of what was approved."""
    gateway = GatewayProcess(tmp_path, script=SCRIPT)
    await gateway.start()
    try:
        async with task_client(gateway.url, AGENT_KEY, declares=False) as agent:
            answers: Any = ROUND["inputResponses"]
            waiting = await agent.session.call_tool(
                "ask_again", {"word": "mine"}, input_responses=answers, request_state=None
            )
            case_id = reference_in(waiting)
            with contextlib.closing(store_by_hand(gateway.data)) as connection:
                connection.execute("UPDATE cases SET continuation = replace(continuation, '9', '8')")
                connection.commit()
            await gateway.decide(case_id)
            told = await agent.call_tool("get_outcome", {"ref": case_id, "wait_seconds": 20})
        assert text_of(told).startswith("FAILED")
        assert not (gateway.directory / "ran.txt").exists()
    finally:
        await gateway.kill()
