"""The span of a request in which an agent calls a tool: until its answer, which may be a reference."""

from typing import Any

from fastmcp.exceptions import NotFoundError, ToolError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import ToolResult
from mcp.types import CallToolRequestParams
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span

from atlas.assessors.policy.rules import NEVER_GOVERNED
from atlas.settings.telemetry import AgentTraces
from atlas.telemetry import names
from atlas.telemetry.contexts import NO_PARENT, below, pointing_to
from atlas.telemetry.tracing import call_span


class CallSpans(Middleware):
    """Stands in front of the gate, and lets everything pass as it is."""

    def __init__(self, tracer: Tracer, *, far: AgentTraces) -> None:
        self._tracer = tracer
        self._continues = far is not AgentTraces.LINK

    async def on_call_tool(
        self,
        context: MiddlewareContext[CallToolRequestParams],
        call_next: CallNext[CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        """Serve a call within its span."""
        if context.message.name in NEVER_GOVERNED:
            return await call_next(context)
        span = self._begin(context)
        token = call_span.set(span.get_span_context())
        try:
            result = await call_next(context)
            _name(span, context.message.name)
            if getattr(result, "is_error", False):
                _fail(span, names.TOOL_ERROR)
        except NotFoundError:  # its name may be any text: it names no span
            _fail(span, "unknown_tool")
            raise
        except Exception as error:
            _name(span, context.message.name)
            _fail(span, names.TOOL_ERROR if isinstance(error, ToolError) else type(error).__name__)
            raise
        finally:
            call_span.reset(token)
            span.end()
        return result

    def _begin(self, context: MiddlewareContext[Any]) -> Span:
        # FastMCP has read the agent's trace from `_meta`, as SEP-414 has it.
        of_agent = get_current_span().get_span_context()
        known = of_agent if of_agent.is_valid else None
        said = {names.MCP_METHOD: names.TOOLS_CALL, names.OPERATION: names.EXECUTE_TOOL}
        request = context.fastmcp_context.request_context if context.fastmcp_context else None
        if request is not None and request.protocol_version:
            said[names.MCP_PROTOCOL_VERSION] = request.protocol_version
        parent = below(known) if self._continues else NO_PARENT
        links = [] if self._continues else pointing_to(known)
        return self._tracer.start_span(names.TOOLS_CALL, parent, SpanKind.SERVER, said, links)


def _name(span: Span, tool_name: str) -> None:
    span.update_name(names.span_of_call(tool_name))
    span.set_attribute(names.TOOL, tool_name)


def _fail(span: Span, error_type: str) -> None:
    """Without the words of an error: they may repeat arguments."""
    span.set_attribute(names.ERROR_TYPE, error_type)
    span.set_status(StatusCode.ERROR)
