"""LangChain: its agent and the tools of its MCP adapters, with a model that asks for what the test says."""

from typing import Any

from driver_lines import drive
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_mcp_adapters.client import MultiServerMCPClient


class ScriptedModel(FakeMessagesListChatModel):
    """A model that says what it was given, of any tools."""

    def bind_tools(self, tools: Any, **_: Any) -> "ScriptedModel":
        """Itself: what it asks for is known before."""
        return self


class LangChain:
    """An agent with the tools of one client, which opens a session for each call."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        self._gateway = {"transport": transport, "url": url, "headers": headers}

    async def connect(self) -> tuple[list[str], str | None]:
        """A new client."""
        client = MultiServerMCPClient({"atlas": self._gateway})
        self._tools = await client.get_tools()
        info = await client.get_server_info(server_name="atlas")
        return [tool.name for tool in self._tools], info["atlas"].instructions

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The model reads the text blocks of an answer; an error is marked in the message."""
        asked = [
            {"name": call["tool"], "args": call["arguments"], "id": f"call_{number}"}
            for number, call in enumerate(calls)
        ]
        model = ScriptedModel(responses=[AIMessage("", tool_calls=asked), AIMessage("Done.")])
        done = await create_agent(model, self._tools).ainvoke({"messages": [HumanMessage("Do it.")]})
        read = {
            message.tool_call_id: message for message in done["messages"] if isinstance(message, ToolMessage)
        }
        messages = [read[f"call_{number}"] for number in range(len(calls))]
        return [(str(message.text), message.status == "error") for message in messages]

    async def close(self) -> None:
        """Nothing is open between calls."""


if __name__ == "__main__":
    drive(LangChain)
