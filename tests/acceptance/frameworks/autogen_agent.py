"""AutoGen: its assistant agent and its MCP workbench, with a model that does what the test says.

By default an assistant makes one turn, and its model reads the answers in the next run: it is given
the two iterations here that every agent needs which acts on an answer.
"""

import json
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, FunctionExecutionResultMessage, ModelInfo, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient
from autogen_ext.tools.mcp import McpWorkbench, SseServerParams, StreamableHttpServerParams
from driver_lines import drive

CALLS_TOOLS = ModelInfo(
    vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False
)


class AutoGen:
    """An agent with one workbench, and a new conversation for each run."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        kind = SseServerParams if transport == "sse" else StreamableHttpServerParams
        self._gateway = kind(url=url, headers=headers)

    async def connect(self) -> tuple[list[str], str | None]:
        """A new workbench, which shows a server's instructions to its user, not to the model."""
        self._workbench = McpWorkbench(self._gateway)
        await self._workbench.start()
        tools = [tool["name"] for tool in await self._workbench.list_tools()]
        return tools, self._workbench.initialize_result.instructions

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The model reads the text blocks of an answer one after the other."""
        asked = [
            FunctionCall(id=f"call_{number}", name=call["tool"], arguments=json.dumps(call["arguments"]))
            for number, call in enumerate(calls)
        ]
        turn = CreateResult(
            finish_reason="function_calls", content=asked, usage=RequestUsage(0, 0), cached=False
        )
        model = ReplayChatCompletionClient([turn, "Done."], model_info=CALLS_TOOLS)
        agent = AssistantAgent("agent", model, workbench=self._workbench, max_tool_iterations=2)
        await agent.run(task="Do it.")
        read = model.create_calls[-1]["messages"][-1]
        assert isinstance(read, FunctionExecutionResultMessage)
        return [(result.content, result.is_error) for result in read.content]

    async def close(self) -> None:
        """End the connection."""
        await self._workbench.stop()


if __name__ == "__main__":
    drive(AutoGen)
