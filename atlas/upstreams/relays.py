"""What passes between an agent and an upstream beside arguments and results: what the agent can be asked,
what it answers when a tool asks, and the level of logging.

Nothing else of the `_meta` of an agent's request passes: it is not part of what is approved.
"""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import mcp.types as mcp
from fastmcp import Client
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from mcp_types import LOG_LEVEL_META_KEY, RequestParamsMeta
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

ASKABLE = {"sampling", "elicitation", "roots"}  # capabilities of an agent that an upstream can use

Progress = Callable[..., Coroutine[Any, Any, None]]
InputRequired = mcp.InputRequiredResult


async def call_tool(
    client: Client[Any], name: str, arguments: dict[str, Any], progress: Progress
) -> mcp.CallToolResult | InputRequired:
    """Call a tool; in the stateless era it may answer that it asks for more."""
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return await client.call_tool_mcp(name, arguments, progress_handler=progress)
    said = _said()
    # Not the client's own method, which would try to answer what only the agent can.
    return await client.session.call_tool(
        name,
        arguments,
        progress_callback=progress,
        input_responses=said.responses,
        request_state=said.state,
        meta=said.meta,
        allow_input_required=True,
    )


async def read_resource(client: Client[Any], uri: str) -> mcp.ReadResourceResult | InputRequired:
    """Read a resource; in the stateless era the answer may ask for more."""
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return await client.session.read_resource(
            uri
        )  # the client's own method would write it in another way
    said = _said()
    return await client.session.read_resource(
        uri,
        input_responses=said.responses,
        request_state=said.state,
        meta=said.meta,
        allow_input_required=True,
    )


async def get_prompt(
    client: Client[Any], name: str, arguments: dict[str, Any]
) -> mcp.GetPromptResult | InputRequired:
    """Have a prompt rendered; in the stateless era the answer may ask for more."""
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return await client.get_prompt_mcp(name, arguments)
    said = _said()
    return await client.session.get_prompt(
        name,
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in arguments.items()},
        input_responses=said.responses,
        request_state=said.state,
        meta=said.meta,
        allow_input_required=True,
    )


def agent_capabilities() -> dict[str, Any] | None:
    """What the agent that waits can be asked, as it declared it; None if no agent's request is served.

    Nothing can be asked of an agent of the handshake era in the stateless way: it knows no such answer.
    """
    context = _context()
    if context is None or context.request_context is None:
        return None
    declared = context.session.client_capabilities
    if declared is None or context.request_context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return {}
    return declared.model_dump(mode="json", by_alias=True, exclude_none=True, include=ASKABLE)


@dataclass(frozen=True)
class _Said:
    """What an agent's request says beside its arguments."""

    responses: mcp.InputResponses | None = None  # of a tool's call: as they are on record
    state: str | None = None
    meta: RequestParamsMeta | None = None


def _said() -> _Said:
    context = _context()
    if context is None or context.request_context is None:
        return _Said()
    level = (context.request_context.meta or {}).get(LOG_LEVEL_META_KEY)
    meta = {LOG_LEVEL_META_KEY: level} if level else None
    return _Said(context.input_responses, context.request_state, cast(RequestParamsMeta, meta))


def _context() -> Context | None:
    try:
        return get_context()
    except RuntimeError:
        return None
