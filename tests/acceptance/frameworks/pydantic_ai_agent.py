"""Pydantic AI: its agent and its MCP toolset, with a model that asks for what the test says."""

from typing import Any

from driver_lines import drive
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


class Script:
    """Asks for the calls in its first turn and keeps what it reads in the second."""

    def __init__(self, calls: list[dict[str, Any]]) -> None:
        self._calls = calls
        self.read: list[ToolReturnPart] = []

    async def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """One turn."""
        self.read = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
        if self.read:
            return ModelResponse(parts=[TextPart("Done.")])
        return ModelResponse(
            parts=[
                ToolCallPart(call["tool"], call["arguments"], tool_call_id=f"call_{number}")
                for number, call in enumerate(self._calls)
            ]
        )


class PydanticAi:
    """An agent with one toolset, which is kept open over all runs."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        self._url, self._headers = url, headers  # the toolset takes a URL that ends in /sse for SSE

    async def connect(self) -> tuple[list[str], str | None]:
        """A new toolset."""
        self._toolset: MCPToolset[None] = MCPToolset(self._url, headers=self._headers)
        await self._toolset.__aenter__()
        return [tool.name for tool in await self._toolset.list_tools()], self._toolset.instructions

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The model reads structured content if there is any; an error is a retry."""
        script = Script(calls)
        await Agent(FunctionModel(script), toolsets=[self._toolset]).run("Do it.")
        read = {part.tool_call_id: part for part in script.read}
        parts = [read[f"call_{number}"] for number in range(len(calls))]
        return [(part.model_response_str(wrap_if_error=False), part.outcome != "success") for part in parts]

    async def close(self) -> None:
        """End the connection."""
        await self._toolset.__aexit__(None, None, None)


if __name__ == "__main__":
    drive(PydanticAi)
