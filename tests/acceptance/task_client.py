"""A client of the tasks extension on the hooks of the SDK: it takes tasks as they are and asks after them."""

from collections.abc import Sequence
from typing import Any, Literal

import mcp_types
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from pydantic import ConfigDict, Field

TASKS = "io.modelcontextprotocol/tasks"


class Task(mcp_types.Result):
    """A call that goes on as a task."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    result_type: Literal["task"] = Field(alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str


class TaskParams(mcp_types.RequestParams):
    """Which task is meant."""

    model_config = ConfigDict(populate_by_name=True)

    task_id: str = Field(serialization_alias="taskId")


class AnyResult(mcp_types.Result):
    """Anything that the server answers."""

    model_config = ConfigDict(extra="allow")


class TasksOfClient(ClientExtension):
    """Declares the extension and leaves every task to the test."""

    identifier = TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        """Calls may be answered with a task."""
        return (ResultClaim(result_type="task", model=Task, resolve=self._resolve),)

    async def _resolve(self, result: Task, context: ClaimContext) -> mcp_types.CallToolResult:
        raise AssertionError("the tests take tasks as they are")


def task_client(url: str, key: str, *, declares: bool = True) -> Client:
    """An agent of 2026-07-28, with the extension or without."""
    http = create_mcp_http_client(headers={"Authorization": f"Bearer {key}"})
    extensions = [TasksOfClient()] if declares else []
    transport = streamable_http_client(f"{url}/mcp", http_client=http)
    return Client(transport, mode="2026-07-28", extensions=extensions)


async def start(client: Client, tool: str, **arguments: Any) -> Task:
    """Call a tool that is answered with a task."""
    result: Any = await client.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(result, Task), result
    return result


async def about(client: Client, method: str, task_id: str) -> dict[str, Any]:
    """What tasks/get, tasks/cancel or tasks/update answers, as it came over the wire."""
    request: Any = mcp_types.Request[TaskParams, str](method=method, params=TaskParams(task_id=task_id))
    result = await client.session.send_request(request, AnyResult)
    return result.model_dump(by_alias=True)
