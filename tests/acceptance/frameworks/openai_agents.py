"""OpenAI Agents SDK: its runner and its MCP servers, with a model that asks for what the test says."""

import json
from typing import Any

from agents import Agent, Runner
from agents.mcp import MCPServerSse, MCPServerStreamableHttp
from agents.testing import ScriptedModel, assistant_message, function_call
from driver_lines import drive

PATIENCE_SECONDS = 60  # its usual five are over on a slow machine, and then the connection is closed for good


class OpenAiAgents:
    """An agent with one MCP server, and a new conversation for each run."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        self._kind = MCPServerSse if transport == "sse" else MCPServerStreamableHttp
        self._gateway = {"url": url, "headers": headers, "timeout": PATIENCE_SECONDS}

    async def connect(self) -> tuple[list[str], str | None]:
        """A new server, whose instructions only its user can read."""
        self._server = self._kind(params=self._gateway, client_session_timeout_seconds=PATIENCE_SECONDS)
        await self._server.connect()
        assert self._server.session is not None
        return [tool.name for tool in await self._server.list_tools()], self._server.session.instructions

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The model reads texts; an error is not marked."""
        turn = [
            function_call(call["tool"], json.dumps(call["arguments"]), call_id=f"call_{number}")
            for number, call in enumerate(calls)
        ]
        model = ScriptedModel([turn, [assistant_message("Done.")]])
        await Runner.run(Agent(name="agent", model=model, mcp_servers=[self._server]), "Do it.")
        read = {item["call_id"]: item["output"] for item in model.calls[-1].input if "output" in item}
        return [(_text(read[f"call_{number}"]), None) for number in range(len(calls))]

    async def close(self) -> None:
        """End the connection."""
        await self._server.cleanup()


def _text(output: str | list[dict[str, Any]]) -> str:
    return output if isinstance(output, str) else "\n".join(part["text"] for part in output)


if __name__ == "__main__":
    drive(OpenAiAgents)
