"""The server that the official conformance suite is run against; run as a program it prints its URL.

It has what the suite looks for, by the names the suite gives it; the suite's list of scenarios says what each
has to do. It serves both eras of the protocol over streamable HTTP, or one over SSE if its argument says so.
"""

import asyncio
import base64
import json
import socket
import sys
from collections import defaultdict
from typing import Any, Literal

import mcp.types as mt
import uvicorn
from acceptance.conformance_probes import add_jobs, add_probes
from acceptance.conformance_questions import add_questions
from acceptance.small_media import png, wav
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.prompts import Message
from fastmcp.tools import ToolResult
from fastmcp.tools.function_tool import FunctionTool
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourceUpdated,
    ToolsListChanged,
)

WATCHED = "test://watched-resource"
STEP_SECONDS = 0.05  # the suite asks for a pause between what a tool sends
SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

Subscribers = dict[str, list[Connection]]


PNG, WAV = base64.b64encode(png()).decode(), base64.b64encode(wav()).decode()
IMAGE = mt.ImageContent(type="image", data=PNG, mime_type="image/png")


def embedded(uri: str, mime_type: str, text: str) -> mt.EmbeddedResource:
    """A resource within a message."""
    contents = mt.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return mt.EmbeddedResource(type="resource", resource=contents)


def add_answers(server: FastMCP) -> None:
    """Tools that answer with each kind of content, with an error, or with a schema that is hard to keep."""

    @server.tool
    def test_simple_text() -> str:
        """Answer with a text."""
        return "This is a simple text response for testing."

    @server.tool
    def test_image_content() -> ToolResult:
        """Answer with an image."""
        return ToolResult(content=[IMAGE])

    @server.tool
    def test_audio_content() -> ToolResult:
        """Answer with a sound."""
        return ToolResult(content=[mt.AudioContent(type="audio", data=WAV, mime_type="audio/wav")])

    @server.tool
    def test_embedded_resource() -> ToolResult:
        """Answer with a resource."""
        text = "This is an embedded resource content."
        return ToolResult(content=[embedded("test://embedded-resource", "text/plain", text)])

    @server.tool
    def test_multiple_content_types() -> ToolResult:
        """Answer with a text, an image and a resource."""
        text = mt.TextContent(type="text", text="Multiple content types test:")
        data = json.dumps({"test": "data", "value": 123})
        resource = embedded("test://mixed-content-resource", "application/json", data)
        return ToolResult(content=[text, IMAGE, resource])

    @server.tool
    def test_error_handling() -> str:
        """Fail."""
        raise ToolError("This tool intentionally returns an error for testing")

    def json_schema_2020_12_tool(**_: Any) -> str:
        """Take what a schema with the words of JSON Schema 2020-12 lets through."""
        return "taken"

    tool = FunctionTool(
        fn=json_schema_2020_12_tool,
        name="json_schema_2020_12_tool",
        description="Tool with JSON Schema 2020-12 features",
        parameters=SCHEMA_2020_12,
    )
    server.add_tool(tool)


def add_senders(server: FastMCP) -> None:
    """Tools that tell the client something before they answer."""

    @server.tool
    async def test_tool_with_logging(ctx: Context) -> str:
        """Send three log messages."""
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(text)
            await asyncio.sleep(STEP_SECONDS)
        return "Logged three messages."

    @server.tool
    async def test_logging_tool(ctx: Context) -> str:
        """Send a log message, which a client that named no level must not get."""
        await ctx.info("A message for those who asked for it")
        return "Logged."

    @server.tool
    async def test_tool_with_progress(ctx: Context) -> str:
        """Report progress three times."""
        for progress in (0, 50, 100):
            await ctx.report_progress(progress, 100)
            await asyncio.sleep(STEP_SECONDS)
        return "Progress was reported."


def add_changes(server: FastMCP, bus: InMemorySubscriptionBus) -> None:
    """Tools that change what is listed, and tell who listens."""

    def changed() -> str:
        """Something that was not there before."""
        return "changed"

    @server.tool
    async def test_trigger_tool_change(ctx: Context) -> str:
        """Change the list of tools."""
        server.tool(changed, name=f"changed_{len(await server.list_tools())}")
        await bus.publish(ToolsListChanged())
        await ctx.send_notification(mt.ToolListChangedNotification())
        return "The list of tools changed."

    @server.tool
    async def test_trigger_prompt_change(ctx: Context) -> str:
        """Change the list of prompts."""
        server.prompt(changed, name=f"changed_{len(await server.list_prompts())}")
        await bus.publish(PromptsListChanged())
        await ctx.send_notification(mt.PromptListChangedNotification())
        return "The list of prompts changed."


def add_resources(server: FastMCP) -> None:
    """The resources and the template."""

    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """A text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """An image."""
        return png()

    @server.resource(WATCHED, mime_type="text/plain")
    def watched_resource() -> str:
        """A resource that can be subscribed to."""
        return "Watched."

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:
        """Data for an id."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def add_prompts(server: FastMCP) -> None:
    """The prompts, and completions of their arguments."""

    @server.prompt
    def test_simple_prompt() -> str:
        """A prompt without arguments."""
        return "This is a simple prompt for testing."

    @server.prompt
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """A prompt with two arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
        """A prompt with a resource in it."""
        resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [Message(resource), Message("Please process the embedded resource above.")]

    @server.prompt
    def test_prompt_with_image() -> list[Message]:
        """A prompt with an image in it."""
        return [Message(IMAGE), Message("Please analyze the image above.")]

    @server.completion
    def complete(
        ref: mt.PromptReference | mt.ResourceTemplateReference,
        argument: mt.CompletionArgument,
        context: mt.CompletionContext | None,
    ) -> list[str]:
        """Cities whose names begin with what was typed, told of which reference."""
        name = ref.name if isinstance(ref, mt.PromptReference) else ref.uri
        return [f"{name} {city}" for city in ("paris", "park", "party") if city.startswith(argument.value)]


def add_subscriptions(server: FastMCP, bus: InMemorySubscriptionBus) -> None:
    """Subscriptions of both eras, and a tool that touches what is watched."""
    subscribers: Subscribers = defaultdict(list)

    async def subscribe(ctx: ServerRequestContext[Any, Any], params: mt.SubscribeRequestParams) -> Any:
        subscribers[str(params.uri)].append(ctx.session._connection)
        return mt.EmptyResult()

    async def unsubscribe(ctx: ServerRequestContext[Any, Any], params: mt.UnsubscribeRequestParams) -> Any:
        connection, uri = ctx.session._connection, str(params.uri)
        subscribers[uri] = [other for other in subscribers[uri] if other is not connection]
        return mt.EmptyResult()

    @server.tool
    async def touch_watched_resource() -> str:
        """Tell the subscribers of the watched resource that it changed."""
        await bus.publish(ResourceUpdated(uri=WATCHED))
        for connection in subscribers[WATCHED]:
            await connection.notify("notifications/resources/updated", {"uri": WATCHED})
        return f"Told {len(subscribers[WATCHED])} connections."

    low_level = server._mcp_server
    low_level.add_request_handler("resources/subscribe", mt.SubscribeRequestParams, subscribe)
    low_level.add_request_handler("resources/unsubscribe", mt.UnsubscribeRequestParams, unsubscribe)
    listen = ListenHandler(bus)
    low_level.add_request_handler("subscriptions/listen", mt.SubscriptionsListenRequestParams, listen)


def build_server() -> FastMCP:
    """The server with all that the suite asks for."""
    server, bus = (
        FastMCP("conformance-fixture", version="1.0", dereference_schemas=False),
        InMemorySubscriptionBus(),
    )
    add_answers(server)
    add_senders(server)
    add_changes(server, bus)
    add_resources(server)
    add_prompts(server)
    add_subscriptions(server, bus)
    add_questions(server)
    add_probes(server)
    return server


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    way: Literal["http", "sse"] = "sse" if "sse" in sys.argv else "http"
    path = "/mcp/sse" if way == "sse" else "/mcp"
    print(f"http://127.0.0.1:{listener.getsockname()[1]}{path}", flush=True)
    # On a loopback address it then takes no request that a page of another host sends.
    offered = build_server()
    if "jobs" in sys.argv:  # with which the suite takes its time
        add_jobs(offered)
    app = offered.http_app(path, transport=way, host_origin_protection="auto")
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)).run([listener])
