"""The fixture server as a process, and a front that offers it as the gateway would."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from gateway_process import ROOT, START_SECONDS, WAIT_SECONDS, eventually
from nursery import Child, forked
from ports import kept_port

from atlas.upstreams import Upstreams
from atlas.upstreams.config import _config
from atlas.upstreams.placeholders import Placeholders

SERVER = Path(__file__).parent / "upstream_server.py"
PATHS = {"http": "/mcp", "sse": "/sse"}


class UpstreamProcess:
    """The fixture server over HTTP or SSE; it can be ended and started again on its port."""

    def __init__(self, way: str, notes: Path, script: Path = SERVER) -> None:
        self.way = way
        self.notes = notes
        self.port = kept_port()
        self._script = script
        self._process: Child | None = None

    @property
    def entry(self) -> dict[str, Any]:
        """What stands in the file for it."""
        return {"url": f"http://127.0.0.1:{self.port}{PATHS[self.way]}"}

    async def start(self) -> None:
        """Start it, and return when it listens."""
        log = self.notes.with_name(f"{self.notes.name} {self.way}.log")
        environment = {"NOTES": str(self.notes), "PYTHONPATH": f"{ROOT}{os.pathsep}{SERVER.parent}"}
        self._process = await forked(
            self._script,
            self.way,
            str(self.port),
            directory=ROOT,
            log=log,
            environment=os.environ | environment,
        )

        async def listens() -> bool:
            assert self._process is not None and self._process.returncode is None, log.read_text()
            return log.read_text().endswith("\n")

        await eventually(listens, seconds=START_SECONDS)

    async def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            await asyncio.wait_for(self._process.wait(), WAIT_SECONDS)
            self._process = None


def stdio_entry(notes: Path, **env: str) -> dict[str, Any]:
    """What stands in the file for the fixture server as a program."""
    return {"command": sys.executable, "args": [str(SERVER), "stdio"], "env": {"NOTES": str(notes)} | env}


class Front:
    """A server that offers upstreams, without a gate: calls are executed as the gateway's executor does."""

    def __init__(self, upstreams: Upstreams, server: FastMCP) -> None:
        self.upstreams = upstreams
        self.server = server

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Execute a call as it is executed once it is approved."""
        return await self.server.call_tool(name, arguments, run_middleware=False)

    async def tool_names(self) -> set[str]:
        """What agents see."""
        return {tool.name for tool in await self.server.list_tools()}

    async def until_there(self, *names: str) -> None:
        """Wait until servers are reached; a failure says what was wrong with them at the end."""

        def problems() -> dict[str, str]:
            report = self.upstreams.report()
            return {name: report[name]["problem"] for name in names if "problem" in report[name]}

        async def are_there() -> bool:
            return not problems()

        try:
            await eventually(are_there)
        except AssertionError as late:
            raise AssertionError(f"{late}: {problems()}, of {self.upstreams.report()}") from late

    async def until_missing(self, name: str) -> str:
        """Wait until a server is known to be missing, and return why; before an attempt nothing is known."""
        [server] = [one for one in self.upstreams.all if one.name == name]

        async def problem() -> str | None:
            return self.upstreams.report()[name].get("problem") if server.known.is_set() else None

        return await eventually(problem)


@asynccontextmanager
async def fronted(data: Path | None = None, /, **entries: dict[str, Any]) -> AsyncIterator[Front]:
    """A front with servers behind it, given as the file has them; it has a tool of its own, get_outcome."""
    configs = tuple(
        _config(name, entry, Placeholders(dict(os.environ), Path("mcp.json")))
        for name, entry in entries.items()
    )
    server = FastMCP("front")
    server.tool(lambda: "the gateway's own", name="get_outcome")
    upstreams = Upstreams(tuple(config for config in configs if config is not None), data=data)
    upstreams.mount(server)
    async with upstreams.open(server):
        yield Front(upstreams, server)


def noted(notes: Path) -> list[str]:
    """What reached the fixture server."""
    return notes.read_text().splitlines() if notes.exists() else []
