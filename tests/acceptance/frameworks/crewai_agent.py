"""CrewAI: an agent without a crew, the MCP adapter of its tools, and a model that does what the test says."""

import asyncio
import json
import os
from typing import Any

from driver_lines import drive

os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"  # it would look for its makers' server

from crewai import Agent, BaseLLM
from crewai_tools import MCPServerAdapter
from pydantic import Field


class ScriptedModel(BaseLLM):
    """Asks for the calls in its first turn and keeps what it reads in the second."""

    calls: list[dict[str, Any]]
    read: list[dict[str, Any]] = Field(default_factory=list)

    def call(self, messages: Any, *_: Any, **__: Any) -> Any:
        """One turn."""
        self.read = [message for message in messages if message["role"] == "tool"]
        return "Done." if self.read else [self._asked(*call) for call in enumerate(self.calls)]

    @staticmethod
    def _asked(number: int, call: dict[str, Any]) -> dict[str, Any]:
        function = {"name": call["tool"], "arguments": json.dumps(call["arguments"])}
        return {"id": f"call_{number}", "type": "function", "function": function}

    def supports_function_calling(self) -> bool:
        """As models of today do."""
        return True


class CrewAI:
    """An agent with the tools of one adapter, and a new conversation for each run."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        kind = "sse" if transport == "sse" else "streamable-http"
        self._gateway = {"url": url, "transport": kind, "headers": headers}

    async def connect(self) -> tuple[list[str], str | None]:
        """A new adapter; CrewAI does not pass a server's instructions on."""
        self._adapter = await asyncio.to_thread(MCPServerAdapter, self._gateway)
        return [tool.name for tool in self._adapter.tools], None

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The model reads the text of an answer; an error is not marked in the message."""
        model = ScriptedModel(model="scripted", calls=calls)
        agent = Agent(role="clerk", goal="help", backstory="none", llm=model, tools=list(self._adapter.tools))
        await asyncio.to_thread(agent.kickoff, "Do it.")
        read = sorted(model.read, key=lambda message: message["tool_call_id"])
        return [(message["content"], None) for message in read]

    async def close(self) -> None:
        """End the connection."""
        await asyncio.to_thread(self._adapter.stop)


if __name__ == "__main__":
    drive(CrewAI)
