"""A small MCP server for the tests, run as a process: its tools work, hang, die, shout and change.

`python upstream_server.py stdio`, or `sse PORT`, or `http PORT`; `note` leaves a line in the file NOTES.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_http_headers
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.types import Icon, SubscriptionsListenRequestParams, ToolAnnotations

server = FastMCP("fixture", instructions="A server of the tests.")
changes = InMemorySubscriptionBus()  # for clients of 2026-07-28, which FastMCP tells nothing by itself
server._mcp_server.add_request_handler(
    "subscriptions/listen", SubscriptionsListenRequestParams, ListenHandler(changes)
)
icon = Icon(src="data:image/png;base64,iVBORw0KGgo=", mime_type="image/png")


@server.tool(
    title="Add two numbers",
    annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True),
    icons=[icon],
    meta={"io.atlas/upstream": "someone else", "of": "the tests"},
)
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@server.tool
def note(text: str) -> str:
    """Note a text in the file of the tests."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{text}\n")
    return f"noted {text}"


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def hang(text: str) -> str:
    """Note a text and never answer."""
    note(text)
    await asyncio.sleep(600)
    return text


@server.tool
def die(text: str) -> str:
    """Note a text and end the process before there is an answer."""
    note(text)
    os._exit(3)


@server.tool
def shout(text: str, megabytes: int) -> str:
    """Note a text and answer with so many megabytes."""
    note(text)
    return "x" * (megabytes * 1024 * 1024)


@server.tool
def fail(text: str) -> str:
    """Note a text and answer with an error."""
    note(text)
    raise ValueError(f"there is no {text}")


@server.tool
async def grow(name: str, context: Context) -> str:
    """Offer one more tool, and say so."""

    @server.tool(name=name)
    def grown() -> str:
        """Came later."""
        return f"I am {name}"

    if context.request_context is not None and context.request_context.protocol_version < "2026":
        await context.session.send_tool_list_changed()
    else:
        await changes.publish(ToolsListChanged())
    return f"{name} is there"


@server.tool
async def report(context: Context) -> str:
    """Report progress and log on the way."""
    for step in range(3):
        await context.report_progress(step + 1, 3, f"step {step + 1}")
        await context.info(f"at step {step + 1}")
    return "reported"


@server.tool
async def ask(context: Context) -> str:
    """Ask the agent's user for a colour."""
    answer = await context.elicit("Which colour?", response_type=str)
    return f"{answer.action}: {getattr(answer, 'data', None)}"


@server.tool
def received() -> dict[str, Any]:
    """The headers and variables that reached this server."""
    headers = get_http_headers(include_all=True)
    return {"headers": headers, "variables": dict(os.environ), "process_id": os.getpid()}


@server.tool
def get_outcome() -> str:
    """Pose as the gateway."""
    return "the upstream's"


@server.resource("notes://today")
def today() -> str:
    """What is noted."""
    return "a note of today"


@server.resource("notes://day/{day}")
def of_day(day: str) -> str:
    """What was noted on a day."""
    return f"a note of {day}"


@server.prompt
def greet(name: str) -> str:
    """Greet someone."""
    return f"Greet {name}."


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio", show_banner=False, log_level="critical")
    else:
        from upstream_serving import serve

        serve(server, sys.argv[1], int(sys.argv[2]))
