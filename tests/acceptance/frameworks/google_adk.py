"""Google ADK: its runner and its MCP toolset, with a model that does what the test says."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from driver_lines import drive
from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools.mcp_tool import McpToolset, SseConnectionParams, StreamableHTTPConnectionParams
from google.genai import types
from pydantic import Field


class ScriptedModel(BaseLlm):
    """Asks for the calls in its first turn and keeps what it reads in the second."""

    calls: list[dict[str, Any]]
    read: list[dict[str, Any]] = Field(default_factory=list)

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """One turn."""
        newest = llm_request.contents[-1].parts or []
        self.read = [part.function_response.response or {} for part in newest if part.function_response]
        parts = [types.Part(text="Done.")] if self.read else [self._asked(call) for call in self.calls]
        yield LlmResponse(content=types.Content(role="model", parts=parts))

    @staticmethod
    def _asked(call: dict[str, Any]) -> types.Part:
        return types.Part(function_call=types.FunctionCall(name=call["tool"], args=call["arguments"]))


class GoogleAdk:
    """An agent with the tools of one toolset, and a new conversation for each run."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        kind = SseConnectionParams if transport == "sse" else StreamableHTTPConnectionParams
        self._gateway = kind(url=url, headers=headers)

    async def connect(self) -> tuple[list[str], str | None]:
        """A new toolset; ADK does not pass a server's instructions on."""
        self._toolset = McpToolset(connection_params=self._gateway)
        return [tool.name for tool in await self._toolset.get_tools()], None

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The model reads a result of MCP as an object; what was raised, as {"error": text}."""
        model = ScriptedModel(model="scripted", calls=calls)
        runner = InMemoryRunner(agent=LlmAgent(name="agent", model=model, tools=[self._toolset]))
        session = await runner.session_service.create_session(app_name=runner.app_name, user_id="user")
        message = types.Content(role="user", parts=[types.Part(text="Do it.")])
        async for _ in runner.run_async(user_id="user", session_id=session.id, new_message=message):
            pass
        return [(json.dumps(read), bool(read.get("isError") or "error" in read)) for read in model.read]

    async def close(self) -> None:
        """End the sessions of the toolset."""
        await self._toolset.close()


if __name__ == "__main__":
    drive(GoogleAdk)
