"""A tool's answer as it came, through FastMCP, which takes only objects as structured content."""

from fastmcp.tools import ToolResult
from mcp.types import CallToolResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

WRAPPED = {"fastmcp": {"wrap_result": True}}  # FastMCP's own way to send what is no object


def as_it_came(result: CallToolResult) -> ToolResult:
    """A result for FastMCP, with any JSON value as structured content (allowed since 2026-07-28)."""
    told = ToolResult.model_construct(
        content=result.content,
        structured_content=result.structured_content,
        meta=result.meta,
        is_error=result.is_error,
    )
    told._raw_mcp_result = result
    return told


def for_version(told: ToolResult, version: str | None) -> ToolResult:
    """The same for an agent of a version that takes objects only: what is none stands under `result`."""
    result = told._raw_mcp_result
    if result is None or version is None or version in MODERN_PROTOCOL_VERSIONS:
        return told
    value = result.structured_content
    if value is None or isinstance(value, dict):
        return told
    wrapped = {"structured_content": {"result": value}, "meta": (result.meta or {}) | WRAPPED}
    return as_it_came(result.model_copy(update=wrapped))
