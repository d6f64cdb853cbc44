"""Errors of the protocol, which reach an agent whole: with code, message and data.

Every other error of a tool is told as a result (`isError`). A record holds a result in both cases, and beside
it an error of the protocol itself.
"""

import json
from typing import Any

from fastmcp.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ErrorData, TextContent

ERROR = "io.atlas/error"  # in `_meta` of a result; an upstream's own `io.atlas/…` is taken out of it


class ProtocolError(ToolError):
    """An upstream answered a call with an error of the protocol; FastMCP passes this class on as it is."""

    def __init__(self, error: ErrorData) -> None:
        super().__init__(error.message)
        self.error = error


def error_result(error: Exception) -> CallToolResult:
    """An error as the result of a call: what it says, and all of it if it is an error of the protocol."""
    said = error.error if isinstance(error, (ProtocolError, MCPError)) else None
    meta = None if said is None else {ERROR: said.model_dump(mode="json")}
    text = str(error) if said is None else _in_words(said)
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True, _meta=meta)


def _in_words(error: ErrorData) -> str:
    """For a model, and for clients that show nothing but text."""
    data = "" if error.data is None else f", data: {json.dumps(error.data, ensure_ascii=False)}"
    return f"{error.message}\nJSON-RPC error {error.code}{data}"


def error_beside(result: dict[str, Any] | None) -> dict[str, Any] | None:
    """The error of the protocol that is on record beside a result (code, message, data), or None."""
    error: dict[str, Any] | None = ((result or {}).get("_meta") or {}).get(ERROR)
    return error


def raise_client_error(result: dict[str, Any]) -> None:
    """Raise the protocol's error that is on record beside a result, if there is one."""
    error = error_beside(result)
    if error is not None:
        data = ErrorData.model_validate(error)
        raise MCPError(code=data.code, message=data.message, data=data.data)
