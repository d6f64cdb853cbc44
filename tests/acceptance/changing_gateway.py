"""The gateway with one more tool, `write_note`, which says of itself what the file tool.json says.

The file is a JSON object whose keys are attributes of the tool; {"missing": true} takes the tool away, and
{"seconds": 1} has it found so late. Each call of the tool adds a line to notes.txt. With ATLAS_TEST_DIE the
process dies: see mortal_gateway.py.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.transforms import GetToolNext, Transform
from fastmcp.tools import Tool
from mcp.types import ToolAnnotations
from mortal_gateway import arm
from serving_gateway import serve_with_tools

import atlas.welfare

TOLD = Path("tool.json")


class AsTold(Transform):
    """Makes of write_note what the file says."""

    async def get_tool(self, name: str, call_next: GetToolNext, **versions: Any) -> Tool | None:
        """The tool as it is told to be."""
        tool = await call_next(name, **versions)
        if tool is None or name != "write_note":
            return tool
        told = what_is_told()
        await asyncio.sleep(told.pop("seconds", 0))
        return as_told(tool, told)


def what_is_told() -> dict[str, Any]:
    """What the file says."""
    return dict(json.loads(TOLD.read_text())) if TOLD.exists() else {}


def as_told(tool: Tool, told: dict[str, Any]) -> Tool | None:
    """The tool as the file has it, or None."""
    if hints := told.get("annotations"):
        told["annotations"] = ToolAnnotations(**hints)
    return None if told.pop("missing", False) else tool.model_copy(update=told)


def add_tools(server: FastMCP, office: atlas.welfare.WelfareOffice) -> None:
    """The welfare office, and the tool that changes."""
    add_welfare_tools(server, office)
    server.add_transform(AsTold())

    @server.tool
    def write_note(text: str, path: str = "here") -> str:
        """Write a note."""
        with Path("notes.txt").open("a") as notes:
            notes.write(f"{text}\n")
        return "written"


if __name__ == "__main__":
    if "ATLAS_TEST_DIE" in os.environ:
        arm(os.environ["ATLAS_TEST_DIE"])
    add_welfare_tools = atlas.welfare.add_welfare_tools
    serve_with_tools(add_tools)
