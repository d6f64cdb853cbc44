"""What becomes of a tool's answer: what goes over the wire, what is kept, and which errors are answers."""

import json
import logging
from typing import Any

from fastmcp.exceptions import FastMCPError, NotFoundError
from mcp import MCPError
from mcp.types import CallToolResult, InputRequiredResult
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from atlas.agents.client_errors import error_result
from atlas.canonical import digest, finite_json
from atlas.errors import AnswerLost, CallRefused, NotCalled, UpstreamMissing
from atlas.instants import now
from atlas.models import Outcome

# What FastMCP raises for a tool that failed; any other error is one of ours.
ERRORS_OF_TOOLS = (FastMCPError, MCPError, NotFoundError, ValidationError)

logger = logging.getLogger(__name__)


def answer_of(error: Exception, *, was_called: bool) -> CallToolResult:
    """The answer that an error of a tool is. Raises NotCalled and AnswerLost for one that is none."""
    cause = error.__cause__
    if not was_called:
        raise NotCalled(reason=str(error)) from error
    if isinstance(cause, (UpstreamMissing, CallRefused)):  # nothing was done
        raise NotCalled(reason=str(cause)) from None
    if isinstance(cause, AnswerLost):
        raise cause from None
    if isinstance(error, ERRORS_OF_TOOLS):
        return error_result(error)
    raise _lost_in_the_gateway(error) from error


def outcome_of(result: CallToolResult | InputRequiredResult) -> Outcome:
    """What is kept of an answer. Raises AnswerLost."""
    try:
        # In Python's form first: the other one makes null of NaN without a word.
        dumped = to_jsonable_python(result.model_dump(by_alias=True, exclude_none=True))
        # A lone surrogate, which no UTF-8 holds and no client reads, becomes a question mark.
        text = finite_json(dumped).encode("utf-8", "replace")
        return Outcome(result=json.loads(text), detail=None, finished_at=now())
    except Exception as error:  # the tool has answered: this is no error of its own
        raise _lost_in_the_gateway(error) from error


def _lost_in_the_gateway(error: Exception) -> AnswerLost:
    logger.error("What a tool answered could not be kept: %s", type(error).__name__, exc_info=error)
    return AnswerLost(reason=f"The gateway could not keep what the tool answered ({type(error).__name__}).")


def digest_of_result(outcome: Outcome) -> str | None:
    """The SHA-256 of a result, or None where it has no canonical form."""
    try:
        return digest(outcome.result)
    except ValueError:
        return None


def wire_result(result: Any) -> CallToolResult:
    """What FastMCP makes of a result, in the form of the wire."""
    if isinstance(result, CallToolResult):
        return result
    content, structured = result if isinstance(result, tuple) else (result, None)
    return CallToolResult(content=content, structured_content=structured)
