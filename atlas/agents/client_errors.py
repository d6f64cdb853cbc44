"""The error of a tool that is meant for the agent's program and not for its model: a capability is missing.

Every other error is told as a result (`isError`). This one has to keep its code on the wire (SEP-2575). So
the record holds such a result with the protocol's error beside it.
"""

from typing import Any, TypeGuard

from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ErrorData, TextContent
from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY

ERROR = "io.atlas/error"  # in `_meta` of a result; an upstream's own `io.atlas/…` is taken out of it


def error_result(error: Exception) -> CallToolResult:
    """An error as the result of a call, as FastMCP tells it to the agent when it calls the tool itself."""
    meta = {ERROR: error.error.model_dump(mode="json")} if is_for_client(error) else None
    return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True, _meta=meta)


def is_for_client(error: Exception) -> TypeGuard[MCPError]:
    """Whether an error is meant for the agent's program."""
    return isinstance(error, MCPError) and error.error.code == MISSING_REQUIRED_CLIENT_CAPABILITY


def raise_client_error(result: dict[str, Any]) -> None:
    """Raise the protocol's error that is on record beside a result, if there is one."""
    error = (result.get("_meta") or {}).get(ERROR)
    if error is not None:
        data = ErrorData.model_validate(error)
        raise MCPError(code=data.code, message=data.message, data=data.data)
