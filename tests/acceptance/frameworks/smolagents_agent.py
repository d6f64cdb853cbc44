"""smolagents: its tool-calling agent and its MCP client, with a model that does what the test says."""

import asyncio
from typing import Any

from driver_lines import drive
from smolagents import MCPClient, ToolCallingAgent
from smolagents.models import (
    ChatMessage,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
    Model,
)


class ScriptedModel(Model):
    """Asks for the calls in its first turn; reads the answers in the second, and ends the run."""

    def __init__(self, calls: list[dict[str, Any]]) -> None:
        super().__init__(model_id="scripted")
        first = [(call["tool"], call["arguments"]) for call in calls]
        self._turns = [first, [("final_answer", {"answer": "Done."})]]
        self.messages: list[ChatMessage] = []

    def generate(self, messages: list[ChatMessage], **_: Any) -> ChatMessage:
        """One turn."""
        self.messages = messages
        asked = [
            ChatMessageToolCall(ChatMessageToolCallFunction(given, tool), id=f"call_{at}", type="function")
            for at, (tool, given) in enumerate(self._turns.pop(0))
        ]
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=asked)


class Smolagents:
    """An agent with the tools of one client; each run starts with an empty memory."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        kind = "sse" if transport == "sse" else "streamable-http"
        self._gateway = {"url": url, "transport": kind, "headers": headers}

    async def connect(self) -> tuple[list[str], str | None]:
        """A new client; smolagents does not pass a server's instructions on."""
        self._client = await asyncio.to_thread(MCPClient, self._gateway)
        return [tool.name for tool in self._client.get_tools()], None

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The answers of all calls stand in one message, which is what the model reads of each."""
        model = ScriptedModel(calls)
        agent = ToolCallingAgent(tools=self._client.get_tools(), model=model)
        await asyncio.to_thread(agent.run, "Do it.")
        responses = [message for message in model.messages if message.role == MessageRole.TOOL_RESPONSE]
        text = "\n".join(part["text"] for message in responses for part in message.content)
        return [(text, "Error:\n" in text)] * len(calls)

    async def close(self) -> None:
        """End the connection."""
        await asyncio.to_thread(self._client.disconnect)


if __name__ == "__main__":
    drive(Smolagents)
