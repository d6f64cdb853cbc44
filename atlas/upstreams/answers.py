"""What an error on the way back from an upstream means: nothing was done, an answer, or no one knows."""

import asyncio

import mcp.types as mcp
from mcp import MCPError

from atlas.errors import AnswerLost, AtlasError, CallRefused, UpstreamMissing
from atlas.upstreams.web import REFUSALS
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
SESSION_ENDED = (mcp.INVALID_REQUEST, "Session terminated")


def refused(error: Exception, wire: Wire) -> Exception:
    """What an error of a call means: one of our errors, or an error of the protocol that is the answer."""
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
    return error
