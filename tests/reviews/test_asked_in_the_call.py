"""A question of a person put to the agent's client: as an elicitation while it waits, or by its task."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Literal

import mcp_types
import pytest
import pytest_asyncio
from acceptance.task_client import TasksOfClient, about, start
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import AGENT_KEY, GatewayProcess, eventually, text_of, waiting_case
from kept import entries_in
from mcp import Client as PlainClient
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from sse import LeavingTransport

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOOL = "request_payment_extension"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway that holds a call for as long as a slow machine needs."""
    process = GatewayProcess(tmp_path_factory.mktemp("asked"), ATLAS_REVIEW_GRACE_SECONDS="25")
    await process.start()
    yield process
    await process.kill()


def ways_of_answer(gateway: GatewayProcess, reference: str) -> list[str]:
    """By which ways the ledger says that an agent answered."""
    rows = entries_in(gateway.data)
    return [
        row["detail"]["way"]
        for row in rows
        if row["case_id"] == reference and row["action"] == "decide.question_answered"
    ]


@pytest.mark.parametrize("transport", [LeavingTransport, StreamableHttpTransport], ids=["sse", "http"])
async def test_a_client_that_waits_is_asked_in_its_call_and_waits_on(
    running: GatewayProcess, transport: Any
) -> None:
    """Its answer is kept once, and the call then brings the tool's result."""
    asked: list[str] = []

    async def answer(message: str, kind: Any, params: Any, context: Any) -> Any:
        asked.append(message)
        return {"answer": "Because of the letter of 3 May."}

    path = "/mcp/sse" if transport is LeavingTransport else "/mcp"
    client = Client(
        transport(running.url + path, auth=AGENT_KEY), elicitation_handler=answer, mode="legacy", timeout=120
    )
    async with client:
        for attempt in range(5):
            reason = f"asked over {path}, {attempt}"
            arguments = {"beneficiary_id": "BEN-123", "reason": reason}
            held = asyncio.create_task(client.call_tool(TOOL, arguments))
            reference = await waiting_case(running, reason)
            await running.decide(reference, "INFORMATION_REQUESTED", reason="Why?")
            await eventually(partial(_is_answered_or_over, running, reference, held))
            if not held.done():
                break  # else the time to hold it was over: the machine is slow
        await running.decide(reference)
        result = await asyncio.wait_for(held, 60)
    [question] = [message for message in asked if reference in message]
    assert "“Why?”" in question and "Sarah" not in question
    assert ways_of_answer(running, reference) == ["elicitation"]
    assert "now due on" in text_of(result)


async def _is_answered_or_over(gateway: GatewayProcess, reference: str, held: "asyncio.Task[Any]") -> bool:
    return held.done() or bool(ways_of_answer(gateway, reference))


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_client_that_declines_reads_the_question_in_its_call(
    running: GatewayProcess, action: Literal["decline", "cancel"]
) -> None:
    """And the question stays open for give_information."""

    async def answer(message: str, kind: Any, params: Any, context: Any) -> ElicitResult[Any]:
        return ElicitResult(action=action)

    client = Client(
        StreamableHttpTransport(f"{running.url}/mcp", auth=AGENT_KEY),
        elicitation_handler=answer,
        mode="legacy",
        timeout=120,
    )
    reason = f"they {action} it"
    async with client:
        held = asyncio.create_task(client.call_tool(TOOL, {"beneficiary_id": "BEN-123", "reason": reason}))
        reference = await waiting_case(running, reason)
        await running.decide(reference, "INFORMATION_REQUESTED", reason="Why?")
        told = await asyncio.wait_for(held, 60)
        assert text_of(told).startswith(f"INFORMATION REQUESTED (Ref: {reference})")
        await client.call_tool("give_information", {"ref": reference, "text": "So."})
    assert ways_of_answer(running, reference) == ["tool"]


async def test_a_client_that_cannot_be_asked_reads_the_question_in_its_call(running: GatewayProcess) -> None:
    """At once, and not when its time is over."""
    async with running.agent() as client:
        arguments = {"beneficiary_id": "BEN-123", "reason": "no forms here"}
        held = asyncio.create_task(client.call_tool(TOOL, arguments))
        reference = await waiting_case(running, "no forms here")
        await running.decide(reference, "INFORMATION_REQUESTED", reason="Why?")
        told = await asyncio.wait_for(held, 45)
    assert text_of(told).startswith(f"INFORMATION REQUESTED (Ref: {reference})")


async def test_the_answer_of_another_way_ends_the_elicitation(running: GatewayProcess) -> None:
    """The first one counts; the form is withdrawn, and what it brings later is not taken."""
    is_asked = asyncio.Event()

    async def never(message: str, kind: Any, params: Any, context: Any) -> Any:
        is_asked.set()
        await asyncio.Event().wait()

    client = Client(
        StreamableHttpTransport(f"{running.url}/mcp", auth=AGENT_KEY),
        elicitation_handler=never,
        mode="legacy",
        timeout=120,
    )
    async with client, running.agent() as other:
        arguments = {"beneficiary_id": "BEN-123", "reason": "two ways"}
        held = asyncio.create_task(client.call_tool(TOOL, arguments))
        reference = await waiting_case(running, "two ways")
        await running.decide(reference, "INFORMATION_REQUESTED", reason="Why?")
        await asyncio.wait_for(is_asked.wait(), 60)
        await other.call_tool("give_information", {"ref": reference, "text": "By the tool."})
        await running.decide(reference, "REJECTED", reason="no")
        with pytest.raises(Exception, match="REJECTED"):
            await asyncio.wait_for(held, 60)
    assert ways_of_answer(running, reference) == ["tool"]


class WithForms(TasksOfClient):
    """A client of tasks; that it takes forms, its capabilities say."""


async def test_a_task_asks_for_input_and_takes_the_answer_once(running: GatewayProcess) -> None:
    """`tasks/get` brings the form, `tasks/update` the answer; what is no answer is ignored."""

    async def elicitation(context: Any, params: Any) -> mcp_types.ElicitResult:
        raise AssertionError("the test takes tasks as they are")

    http = create_mcp_http_client(headers={"Authorization": f"Bearer {AGENT_KEY}"})
    transport = streamable_http_client(f"{running.url}/mcp", http_client=http)
    client = PlainClient(
        transport, mode="2026-07-28", extensions=[WithForms()], elicitation_callback=elicitation
    )
    async with client as agent:
        task = await start(agent, TOOL, beneficiary_id="BEN-123", reason="a task is asked")
        await eventually(lambda: _waits(agent, task.task_id))
        await running.decide(task.task_id, "INFORMATION_REQUESTED", reason="Which?")
        asking = await about(agent, "tasks/get", task.task_id)
        assert asking["status"] == "input_required"
        assert asking["statusMessage"].startswith(f"INFORMATION REQUESTED (Ref: {task.task_id})")
        [(key, form)] = asking["inputRequests"].items()
        assert form["method"] == "elicitation/create" and "Which?" in form["params"]["message"]
        answer = {"action": "accept", "content": {"answer": "This one."}}
        for responses in ({"other": answer}, {key: {"action": "decline"}}):
            await update(agent, task.task_id, responses)
        assert ways_of_answer(running, task.task_id) == []
        for _ in range(3):
            await update(agent, task.task_id, {key: answer})
        assert ways_of_answer(running, task.task_id) == ["task"]
        assert (await about(agent, "tasks/get", task.task_id))["status"] == "working"
        await running.decide(task.task_id, "INFORMATION_REQUESTED", reason="And which then?")
        await update(agent, task.task_id, {key: answer})  # to what was asked before
        assert (await about(agent, "tasks/get", task.task_id))["status"] == "input_required"


async def _waits(agent: PlainClient, task_id: str) -> bool:
    task = await about(agent, "tasks/get", task_id)
    return str(task["statusMessage"]).startswith("PENDING REVIEW")


class UpdateParams(mcp_types.RequestParams):
    """What tasks/update brings."""

    taskId: str
    inputResponses: dict[str, Any]


async def update(client: PlainClient, task_id: str, responses: dict[str, Any]) -> None:
    """Answer what a task asks for."""
    from acceptance.task_client import AnyResult

    params = UpdateParams(taskId=task_id, inputResponses=responses)
    request: Any = mcp_types.Request[UpdateParams, str](method="tasks/update", params=params)
    await client.session.send_request(request, AnyResult)
