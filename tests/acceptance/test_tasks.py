"""Calls as tasks: for clients that declare the extension, over a restart, and for their own agent only."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import mcp_types
import pytest
import pytest_asyncio
from acceptance.npm_clients import NpmClients
from acceptance.task_client import TASKS, about, start, task_client
from gateway_process import (
    AGENT_KEY,
    OTHER_AGENT_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    eventually,
    reference_in,
    waiting_case,
)
from kept import entries_in
from mcp.shared.exceptions import MCPError

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOL = "request_payment_extension"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for all tests of this module, which may restart it."""
    process = GatewayProcess(tmp_path_factory.mktemp("tasks"), ATLAS_REVIEW_GRACE_SECONDS="20")
    await process.start()
    yield process
    await process.kill()


async def ended(gateway: GatewayProcess, task_id: str, key: str = AGENT_KEY) -> dict[str, Any]:
    """The task as soon as it has ended."""

    async def found() -> dict[str, Any] | None:
        async with task_client(gateway.url, key) as agent:
            task = await about(agent, "tasks/get", task_id)
        return task if task["status"] != "working" else None

    return dict(await eventually(found))


async def test_a_call_that_waits_is_a_task_whose_result_comes_after_a_restart(
    running: GatewayProcess,
) -> None:
    """The reference is the task's id; killed while it waits, started again, approved: the result is there."""
    async with task_client(running.url, AGENT_KEY) as agent:
        task = await start(agent, TOOL, beneficiary_id="BEN-123", reason="a task")
        assert task.status == "working" and task.task_id.startswith("evt_")
        working = await about(agent, "tasks/get", task.task_id)
    assert working["status"] == "working" and working["ttlMs"] is None and working["pollIntervalMs"] > 0
    assert working["statusMessage"].startswith(f"PENDING REVIEW (Ref: {task.task_id})")
    assert "result" not in working
    await running.kill()
    await running.start()
    await running.decide(task.task_id)
    done = await ended(running, task.task_id)
    assert done["status"] == "completed" and done["lastUpdatedAt"] > done["createdAt"]
    result = mcp_types.CallToolResult.model_validate(done["result"])
    assert not result.is_error and "now due on" in result.content[0].text  # type: ignore[union-attr]


async def test_a_rejected_task_completes_with_an_error_that_says_why(running: GatewayProcess) -> None:
    """The reviewer's words reach the agent on this way too."""
    async with task_client(running.url, AGENT_KEY) as agent:
        task = await start(agent, TOOL, beneficiary_id="BEN-123", reason="refuse this")
    await running.decide(task.task_id, "REJECTED", reason="twice is enough")
    done = await ended(running, task.task_id)
    assert done["status"] == "completed" and done["result"]["isError"]
    assert "twice is enough" in done["result"]["content"][0]["text"]


async def test_what_is_approved_by_itself_is_no_task(running: GatewayProcess) -> None:
    """A client that declares the extension still gets a result at once where there is one."""
    async with task_client(running.url, AGENT_KEY) as agent:
        result = await agent.call_tool("check_status", {"beneficiary_id": "BEN-123"})
    assert not result.is_error and result.structured_content


async def test_who_does_not_declare_the_extension_gets_the_notice(running: GatewayProcess) -> None:
    """And the extension's methods are not for it."""
    await running.kill()
    await running.start(ATLAS_REVIEW_GRACE_SECONDS="0")
    async with task_client(running.url, AGENT_KEY, declares=False) as agent:
        case_id = reference_in(
            await agent.call_tool(TOOL, {"beneficiary_id": "BEN-123", "reason": "no tasks"})
        )
        with pytest.raises(MCPError) as refused:
            await about(agent, "tasks/get", case_id)
    assert refused.value.error.code == mcp_types.MISSING_REQUIRED_CLIENT_CAPABILITY


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_another_agents_task_is_like_one_that_never_was(running: GatewayProcess, method: str) -> None:
    """Nor can it be taken back by someone else."""
    async with task_client(running.url, AGENT_KEY) as agent:
        task = await start(agent, TOOL, beneficiary_id="BEN-123", reason=f"mine {method}")
    answers = []
    async with task_client(running.url, OTHER_AGENT_KEY) as other:
        for task_id in (task.task_id, "evt_0123456789abcdef", "anything"):
            with pytest.raises(MCPError) as refused:
                await about(other, method, task_id)
            answers.append((refused.value.error.code, refused.value.error.message.replace(task_id, "")))
    assert len(set(answers)) == 1
    async with task_client(running.url, AGENT_KEY) as agent:
        assert (await about(agent, "tasks/get", task.task_id))["status"] == "working"


async def test_a_call_is_taken_back_while_it_waits_and_never_once_it_is_approved(
    running: GatewayProcess,
) -> None:
    """Withdrawn is final: no reviewer can approve it any more; what is approved goes on."""
    async with task_client(running.url, AGENT_KEY) as agent:
        task = await start(agent, TOOL, beneficiary_id="BEN-123", reason="not so important")
        await about(agent, "tasks/cancel", task.task_id)
        await about(agent, "tasks/cancel", task.task_id)
        assert (await about(agent, "tasks/get", task.task_id))["status"] == "cancelled"
        late = await running.decide(task.task_id)
        assert (late.status_code, late.json()["error"]) == (409, "CaseFinished")
        approved = await start(agent, TOOL, beneficiary_id="BEN-123", reason="important")
        await running.decide(approved.task_id)
        await about(agent, "tasks/cancel", approved.task_id)
    assert (await ended(running, approved.task_id))["status"] == "completed"
    actions = [entry["action"] for entry in entries_in(running.data) if entry["case_id"] == task.task_id]
    assert actions[-1] == "admit.withdrawn" and "execute.started" not in actions


async def test_the_shape_on_the_wire_is_that_of_the_extension(running: GatewayProcess) -> None:
    """By hand: a flat task with a null ttl, as SEP-2663 has it, and the extension among the capabilities."""

    async def post(method: str, params: dict[str, Any], **headers: str) -> dict[str, Any]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}},
        }
        headers |= {
            "Authorization": f"Bearer {AGENT_KEY}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": meta}}
        async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
            answer = await client.post(f"{running.url}/mcp", json=body, headers=headers)
        lines = [line for line in answer.text.splitlines() if line.startswith("data:")]
        return dict(json.loads(lines[-1].removeprefix("data:") if lines else answer.text)["result"])

    arguments = {"beneficiary_id": "BEN-123", "reason": "by hand"}
    started = await post("tools/call", {"name": TOOL, "arguments": arguments}, **{"Mcp-Name": TOOL})
    started.pop("_meta", None)
    assert set(started) == {
        "resultType",
        "taskId",
        "status",
        "statusMessage",
        "createdAt",
        "lastUpdatedAt",
        "ttlMs",
        "pollIntervalMs",
    }
    assert (started["resultType"], started["status"], started["ttlMs"]) == ("task", "working", None)
    found = await post("server/discover", {})
    assert found["capabilities"]["extensions"][TASKS] == {}


@pytest.mark.npm
@pytest.mark.timeout(400)
async def test_the_inspector_waits_for_its_task(running: GatewayProcess) -> None:
    """A client with tasks of its own asks until the result is there, and prints it as the call's."""
    npm = NpmClients.install()
    arguments = ("beneficiary_id=BEN-123", "reason=inspect a task")
    named = [part for argument in arguments for part in ("--tool-arg", argument)]
    command = ("--protocol-era", "auto", "--method", "tools/call", "--tool-name", TOOL, *named)
    printing = asyncio.create_task(npm.inspect(f"{running.url}/mcp", *command))
    await running.decide(await waiting_case(running, "inspect a task"))
    assert "now due on" in (await printing)["result"]["content"][0]["text"]
