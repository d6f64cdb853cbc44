"""LlamaIndex: its function agent and its MCP tool list, with a model that does what the test says."""

from collections.abc import Sequence
from typing import Any

from driver_lines import drive
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.tools.mcp import BasicMCPClient, aget_tools_from_mcp_url


class Script:
    """Asks for the calls in its first turn and keeps what it reads in the second."""

    def __init__(self, calls: list[dict[str, Any]]) -> None:
        self._calls = calls
        self.read: list[ChatMessage] = []

    def __call__(self, messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        """One turn."""
        self.read = [message for message in messages if message.role == MessageRole.TOOL]
        if self.read:
            return ChatMessage(role="assistant", content="Done.")
        asked = [
            ToolCallBlock(tool_call_id=f"call_{at}", tool_name=call["tool"], tool_kwargs=call["arguments"])
            for at, call in enumerate(self._calls)
        ]
        return ChatMessage(role="assistant", blocks=asked)


class LlamaIndex:
    """An agent with the tools of one client, which opens a session for each call."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        self._url, self._headers = url, headers  # the client takes a URL that ends in /sse for SSE

    async def connect(self) -> tuple[list[str], str | None]:
        """A new client; LlamaIndex does not pass a server's instructions on."""
        client = BasicMCPClient(self._url, headers=self._headers)
        self._tools = await aget_tools_from_mcp_url(self._url, client=client)
        return [tool.metadata.get_name() for tool in self._tools], None

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The model reads the repr of a result of MCP; an error is not marked in the message."""
        script = Script(calls)
        agent = FunctionAgent(tools=self._tools, llm=MockFunctionCallingLLM(response_generator=script))
        await agent.run("Do it.")
        read = sorted(script.read, key=lambda message: message.additional_kwargs["tool_call_id"])
        return [(str(message.content), None) for message in read]

    async def close(self) -> None:
        """Nothing is open between calls."""


if __name__ == "__main__":
    drive(LlamaIndex)
