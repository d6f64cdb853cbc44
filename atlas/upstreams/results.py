"""Results of a server that the SDK would refuse or alter, in a form in which they reach the agent."""

from contextvars import ContextVar
from typing import Any

from mcp.types import CallToolResult

from atlas.canonical import finite

# The structured content of the call at hand, where the version of the session knows objects only.
set_aside: ContextVar[list[Any] | None] = ContextVar("set_aside", default=None)


def mended(method: str, raw: dict[str, Any]) -> dict[str, Any]:
    """A result that the SDK takes and that keeps its values, so that a deed that was done is told."""
    result: dict[str, Any] = finite(raw)
    if method != "tools/call" or result.get("resultType", "complete") != "complete":
        return result
    if result.get("content") is None:
        result = result | {"content": []}
    aside, value = set_aside.get(), result.get("structuredContent")
    if aside is None or value is None or isinstance(value, dict):
        return result
    aside.append(value)
    return {key: item for key, item in result.items() if key != "structuredContent"}


def put_back(result: Any, aside: list[Any]) -> Any:
    """The result with what was set aside from it."""
    if not aside or not isinstance(result, CallToolResult):
        return result
    return result.model_copy(update={"structured_content": aside[0]})
