"""A suite of AgentDojo as an MCP server over HTTP, whose environment is set for each play.

`python server.py SUITE [RECORD]` prints the port it listens on. Beside `/mcp`, which the gateway uses, the
benchmark asks it which plays there are, begins one, and reads what was executed; an agent cannot reach that.
"""

import asyncio
import socket
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastmcp import FastMCP
from fastmcp.tools import Tool, ToolResult
from plays import Play
from recorded import RecordedSuite
from starlette.requests import Request
from starlette.responses import JSONResponse


@dataclass
class Show:
    """The play that is on, with all that was executed in it."""

    stage: Any = None
    executed: list[dict[str, Any]] = field(default_factory=list)
    was_read: bool = False  # whether a result held the attack's text

    def run(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Execute a call, and count it."""
        text, is_error = self.stage.run(tool, arguments)
        shows = self.stage.shows_attack(text)
        self.was_read = self.was_read or shows
        self.executed.append(
            {"tool": tool, "arguments": arguments, "text": text, "is_error": is_error, "shows_attack": shows}
        )
        return text, is_error


class SuiteTool(Tool):
    """A tool of the suite; its answer is the text that AgentDojo gives its agents."""

    show: Any

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Execute a call."""
        text, is_error = self.show.run(self.name, arguments)
        return ToolResult(content=text, is_error=is_error)


def server_of(suite: Any) -> FastMCP:
    """The suite's tools, and the ways of the benchmark beside them."""
    server, show = FastMCP("suite"), Show()
    for tool in suite.tools():
        server.add_tool(SuiteTool(**tool, show=show))

    @server.custom_route("/plays/{attack}", ["GET"])
    async def plays(request: Request) -> JSONResponse:
        """Which plays there are with an attack."""
        return JSONResponse([asdict(play) for play in suite.plays(request.path_params["attack"])])

    @server.custom_route("/begin", ["POST"])
    async def begin(request: Request) -> JSONResponse:
        """Set the environment for a play."""
        show.stage = suite.stage(Play(**await request.json()))
        show.executed, show.was_read = [], False
        return JSONResponse({"request": show.stage.request, "calls": show.stage.calls_of_user()})

    @server.custom_route("/injection", ["GET"])
    async def injection(_: Request) -> JSONResponse:
        """The calls that the text asks for that was read; null while it was not."""
        return JSONResponse(show.stage.calls_of_injection() if show.was_read else None)

    @server.custom_route("/recorded", ["POST"])
    async def recorded(request: Request) -> JSONResponse:
        """One play with all that its calls were answered, without a gateway."""
        return JSONResponse(whole(suite.stage(Play(**await request.json()))))

    @server.custom_route("/tools", ["GET"])
    async def tools(_: Request) -> JSONResponse:
        """What each tool says of itself."""
        return JSONResponse(suite.tools())

    @server.custom_route("/executed", ["GET"])
    async def executed(_: Request) -> JSONResponse:
        """All that was executed in this play."""
        return JSONResponse(show.executed)

    return server


def whole(stage: Any) -> dict[str, Any]:
    """All calls of a play, the injected ones made on a copy of the stage on which they are read."""
    kept = {"play": asdict(stage.play), "request": stage.request, "user": [], "injection": []}
    show, read = Show(stage), False
    for call in stage.calls_of_user():
        kept["user"].append(call | _run(show, call))
        if show.was_read and not read:
            read, other = True, Show(stage.copy())
            kept["injection"] = [one | _run(other, one) for one in stage.calls_of_injection()]
    return kept


def _run(show: Show, call: dict[str, Any]) -> dict[str, Any]:
    show.run(call["tool"], call["arguments"])
    return show.executed[-1]


def suite_named(name: str, record: str | None) -> Any:
    """AgentDojo's suite, or a recorded part of it."""
    if record is not None:
        return RecordedSuite(Path(record))
    from suites import Suite  # needs AgentDojo

    return Suite(name)


async def main(name: str, record: str | None = None) -> None:
    """Serve until the process is ended."""
    app = server_of(suite_named(name, record)).http_app(path="/mcp")
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
