"""What an error on the way back from an upstream means: nothing was done, an answer, or no one knows."""

import asyncio

import mcp.types as mcp
from fastmcp.exceptions import ToolError
from mcp import MCPError

from atlas.agents.client_errors import is_for_client
from atlas.errors import AnswerLost, AtlasError, CallRefused, UpstreamMissing
from atlas.upstreams.wires import Wire

# What the SDK itself puts in the place of an answer that it did not get (mcp 2.3.0), by code and beginning.
SYNTHESIZED = (
    (mcp.CONNECTION_CLOSED, "Connection closed"),
    (mcp.CONNECTION_CLOSED, "SSE stream "),
    (mcp.REQUEST_TIMEOUT, "Request '"),
    (mcp.PARSE_ERROR, "Failed to parse "),
    (mcp.INVALID_REQUEST, "server answered a request with 202"),
    (mcp.INVALID_REQUEST, "Unexpected content type"),
)
HTTP_ERROR = (mcp.INTERNAL_ERROR, "Server returned an error response")
# The statuses that say that a request was not taken; behind others something may have been done.
REFUSALS = frozenset((400, 401, 402, 403, 404, 405, 406, 407, 411, 413, 414, 415, 421, 422, 426, 429, 431))
SESSION_ENDED = (mcp.INVALID_REQUEST, "Session terminated")
REDIRECTED = (mcp.INVALID_REQUEST, "Redirect to ")


def refused(error: Exception, wire: Wire) -> Exception:
    """What an error of a call means: one of our errors, or a ToolError that is the answer."""
    if isinstance(error, (AtlasError, asyncio.CancelledError)):
        return error
    if wire.unsent is not None:
        return UpstreamMissing(reason=wire.unsent)
    if isinstance(error, MCPError):
        return _of_protocol(error, wire)
    return AnswerLost(reason=wire.broken or f"its answer cannot be read ({type(error).__name__})")


def _of_protocol(error: MCPError, wire: Wire) -> Exception:
    code, message = error.error.code, error.error.message
    is_closed = any(code == one and message.startswith(begins) for one, begins in SYNTHESIZED)
    if wire.broken is not None or is_closed:
        return AnswerLost(reason=wire.reason)
    if (code, message) == HTTP_ERROR and wire.status >= 400:
        kind = CallRefused if wire.status in REFUSALS else AnswerLost
        return kind(reason=f"it answered HTTP {wire.status}")
    if (code, message) == SESSION_ENDED and wire.status == 404:
        return CallRefused(reason="it had ended the session")
    if code == REDIRECTED[0] and message.startswith(REDIRECTED[1]):
        return CallRefused(reason="its url leads to another place")
    return error if is_for_client(error) else ToolError(message)
