"""Semantic Kernel: its chat completion agent and MCP plugin, with a model that does what the test says."""

import json
from typing import Any, ClassVar

from driver_lines import drive
from pydantic import Field
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.chat_completion_client_base import ChatCompletionClientBase
from semantic_kernel.connectors.ai.prompt_execution_settings import PromptExecutionSettings
from semantic_kernel.connectors.mcp import MCPSsePlugin, MCPStreamableHttpPlugin
from semantic_kernel.contents import (
    AuthorRole,
    ChatHistory,
    ChatMessageContent,
    FunctionCallContent,
)

PLUGIN = "atlas"  # the model knows the tools as atlas-check_status and so on


class ScriptedModel(ChatCompletionClientBase):
    """Asks for the calls in its first turn and keeps what it reads in the second."""

    SUPPORTS_FUNCTION_CALLING: ClassVar[bool] = True
    calls: list[dict[str, Any]]
    read: list[dict[str, Any]] = Field(default_factory=list)

    async def _inner_get_chat_message_contents(
        self, chat_history: ChatHistory, settings: PromptExecutionSettings
    ) -> list[ChatMessageContent]:
        tools = [message for message in chat_history.messages if message.role == AuthorRole.TOOL]
        self.read = [message.to_dict() for message in tools]  # what its connectors send to a model
        if self.read:
            return [ChatMessageContent(role=AuthorRole.ASSISTANT, content="Done.")]
        asked = [
            FunctionCallContent(
                id=f"call_{number}", name=f"{PLUGIN}-{call['tool']}", arguments=json.dumps(call["arguments"])
            )
            for number, call in enumerate(self.calls)
        ]
        return [ChatMessageContent(role=AuthorRole.ASSISTANT, items=asked)]

    def _update_function_choice_settings_callback(self) -> Any:
        return lambda *_, **__: None

    def _reset_function_choice_settings(self, settings: PromptExecutionSettings) -> None:
        pass


class SemanticKernel:
    """An agent with one plugin, and a new conversation for each run."""

    def __init__(self, url: str, transport: str, headers: dict[str, str]) -> None:
        self._kind = MCPSsePlugin if transport == "sse" else MCPStreamableHttpPlugin
        self._gateway = {"url": url, "headers": headers}

    async def connect(self) -> tuple[list[str], str | None]:
        """A new plugin; Semantic Kernel does not pass a server's instructions on."""
        self._plugin = self._kind(name=PLUGIN, **self._gateway)
        await self._plugin.connect()
        assert self._plugin.session is not None
        return [tool.name for tool in (await self._plugin.session.list_tools()).tools], None

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """The model reads the text of an answer; an error is not marked in the message."""
        model = ScriptedModel(ai_model_id="scripted", calls=calls)
        agent = ChatCompletionAgent(service=model, name="agent", plugins=[self._plugin])
        await agent.get_response(messages="Do it.")
        read = sorted(model.read, key=lambda message: message["tool_call_id"])  # they come as they are done
        return [(message["content"], None) for message in read]

    async def close(self) -> None:
        """End the connection."""
        await self._plugin.close()


if __name__ == "__main__":
    drive(SemanticKernel)
