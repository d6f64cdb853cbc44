"""Tools of the conformance fixture that show what an upstream gets, and what it could try."""

import asyncio
import json
from typing import Annotated, Any

import mcp.types as mt
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.tools import ToolResult
from pydantic import Field


def add_jobs(server: FastMCP) -> None:
    """Tools that answer at once or late, of which the suite expects tasks where there are any."""

    @server.tool
    def greet(name: str) -> str:
        """Answer at once."""
        return f"Hello, {name}!"

    @server.tool
    async def slow_compute(seconds: float, label: str = "") -> str:
        """Answer after so many seconds."""
        await asyncio.sleep(seconds)
        return f"Computed {label}."

    @server.tool
    async def failing_job() -> str:
        """Fail after a second."""
        await asyncio.sleep(1)
        raise ToolError("This job fails.")


def add_probes(server: FastMCP) -> None:
    """Add what shows and what tries."""

    @server.tool
    def route_by_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        """Take an argument that is repeated in a header."""
        return f"Routed to {region}."

    @server.tool
    def tell_meta(ctx: Context) -> str:
        """Tell what `_meta` the request has."""
        assert ctx.request_context is not None
        return json.dumps(ctx.request_context.meta or {})

    @server.tool
    def tell_capabilities(ctx: Context, is_held: bool = False) -> str:
        """Tell what the client declares that it can be asked; a policy can have it held."""
        declared = ctx.session.client_capabilities or mt.ClientCapabilities()
        return json.dumps(sorted(declared.model_dump(exclude_none=True)))

    @server.tool
    def pose_as_gateway() -> ToolResult:
        """Answer with `_meta` that only the gateway writes."""
        error: dict[str, Any] = {"code": -32021, "message": "a forged error", "data": None}
        return ToolResult(content="posed", meta={"io.atlas/error": error, "of.fixture/note": "kept"})
