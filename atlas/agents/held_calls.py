"""The agents whose calls are being held: what their tools send meanwhile reaches them, and fails no tool.

A tool is executed in the context of the request that asked for it as long as that request is unanswered.
After that, and after a restart, no agent is there: notifications go nowhere, and a request to the agent is
an error.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import replace
from functools import partial
from typing import Any, cast

from fastmcp.server.context import Context as FastMCPContext
from fastmcp.server.dependencies import FastMCPRequestContext, fastmcp_request_ctx
from fastmcp.server.http import _current_http_request
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from opentelemetry.context import Context as TraceContext
from opentelemetry.context import attach

from atlas.agents.keys import current_principal
from atlas.grounds.present import Present
from atlas.models import Case, ToolCall

FRESH_SECONDS = 1.0  # for which the tool that the admission saw is used; the last look is a new one
NOTIFY_SECONDS = 2.0  # an agent that reads nothing for so long gets no further notifications
STATELESS_VERSION = "2026-07-28"  # what a tool sees of an agent that is not there: no one can be asked
TRACE = frozenset({"traceparent", "tracestate", "baggage"})  # in the `_meta` of a request (SEP-414)
NOTIFICATIONS = frozenset(
    {
        "report_progress",
        "send_elicit_complete",
        "send_log_message",
        "send_notification",
        "send_progress_notification",
        "send_prompt_list_changed",
        "send_resource_list_changed",
        "send_resource_updated",
        "send_tool_list_changed",
    }
)

logger = logging.getLogger(__name__)


class ForgivingSession:
    """The session of an agent's request; a notification over it never raises and never hangs."""

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self.is_over = False  # it was answered, or no one reads

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._session, name)
        return partial(self._notify, found) if name in NOTIFICATIONS else found

    async def _notify(self, send: Callable[..., Awaitable[None]], *values: Any, **named: Any) -> None:
        if self.is_over:
            return
        try:
            await asyncio.wait_for(send(*values, **named), NOTIFY_SECONDS)
        except asyncio.TimeoutError:
            self.is_over = True
            logger.info("An agent does not read what it is sent; its call goes on without notifications")
        except Exception as error:
            logger.info("A notification did not reach its agent: %s", type(error).__name__)


class WaitingAgents:
    """Remembers the request of each call that is being held, until it is answered."""

    def __init__(self) -> None:
        self._requests: dict[str, list[Context]] = {}
        self._seen: dict[str, tuple[Present, float]] = {}
        self._stops: dict[str, asyncio.Event] = {}
        self._told: set[str] = set()
        self.stop_elsewhere: Callable[[str], None] = lambda case_id: None
        # What a server behind the gateway is told of the trace of a call; by default nothing.
        self.onward: Callable[[Case], TraceContext] = lambda case: TraceContext()

    def is_held(self, case_id: str) -> bool:
        """Whether a request waits here for the call."""
        return case_id in self._requests

    def is_shared(self, case: Case) -> bool:
        """Whether more than one request waits for the call."""
        return len(self._requests.get(case.case_id, ())) > 1

    def note_told(self, case: Case) -> None:
        """Note that an agent was told the reference, while another request of it still waits."""
        if case.case_id in self._requests:
            self._told.add(case.case_id)

    def is_told(self, case: Case) -> bool:
        """Whether another request was answered with the reference meanwhile."""
        return case.case_id in self._told

    def stop(self, case_id: str) -> None:
        """Tell what is at work for a call, here or at another gateway, that its agent has stopped it."""
        if not self.stop_here(case_id):
            self.stop_elsewhere(case_id)

    def stop_here(self, case_id: str) -> bool:
        """Tell what is at work here, if it is."""
        if case_id in self._stops:
            self._stops[case_id].set()
        return case_id in self._stops

    @contextmanager
    def stoppable(self, case: Case) -> Iterator[asyncio.Event]:
        """What is set while a call is executed when its agent stops it."""
        self._stops[case.case_id] = asyncio.Event()
        try:
            yield self._stops[case.case_id]
        finally:
            del self._stops[case.case_id]

    def handed(self, case: Case) -> Present | None:
        """The tool of a call that was admitted a moment ago, as the admission saw it; else None."""
        present, seen_at = self._seen.get(case.case_id, (None, 0.0))
        is_fresh = time.monotonic() - seen_at < FRESH_SECONDS and case.round_number == 1
        return present if is_fresh else None

    @contextmanager
    def hold(self, case: Case, present: Present | None = None) -> Iterator[None]:
        """Let the call be executed in the context of the request that is being served.

        For a new call `present` is its tool, so that judging it at once needs no second look at the tool.
        """
        if present is not None:
            self._seen[case.case_id] = (present, time.monotonic())
        request, session = copy_context(), _forgiving_session()
        if session is not None:
            request.run(_bind, session=session, params=None)
        requests = self._requests.setdefault(case.case_id, [])
        requests.append(request)
        try:
            yield
        finally:
            if present is not None:
                self._seen.pop(case.case_id, None)
            requests.remove(request)
            if not requests:
                del self._requests[case.case_id]
                self._told.discard(case.case_id)
            if session is not None:
                session.is_over = True

    def context_of(self, case: Case) -> Context:
        """The context in which the call is to be executed: its agent's, or one without an agent."""
        for request in reversed(self._requests.get(case.case_id, ())):
            # The digest of a case already allows one call of one principal; this is a second check.
            if request.run(current_principal) == case.call.principal:
                context = request.run(copy_context)
                context.run(_take_trace_away, self.onward(case))
                context.run(_bind, session=None, params=_params(case.call_in_force))
                context.run(_take_headers_away)
                return context
        context = copy_context()
        context.run(attach, self.onward(case))
        context.run(fastmcp_request_ctx.set, _request_without_agent(case.call_in_force))
        return context


async def has_left(context: FastMCPContext) -> bool:
    """Whether the agent that made the present request is known to be gone.

    On SSE and in 2026-07-28 the request of an agent that leaves is cancelled; in a session over streamable
    HTTP it goes on, with a connection that has ended. (On SSE the call's own POST was answered long ago.)
    """
    request = context.request_context
    if request is None or request.request is None or context.transport != "streamable-http":
        return False
    return await request.request.is_disconnected()


def _forgiving_session() -> ForgivingSession | None:
    request = fastmcp_request_ctx.get()
    return None if request is None else ForgivingSession(request.session)


def _bind(*, session: ForgivingSession | None, params: Mapping[str, Any] | None) -> None:
    """Change the request of the current context: what it sends goes through a session, what it asked."""
    request = fastmcp_request_ctx.get()
    if request is None:  # a call from within the process
        return
    kept = request.session if session is None else cast(ServerSession, session)
    asked = request._srctx.params if params is None else {**_meta_of(request), **params}
    inner = replace(request._srctx, session=kept, params=asked)
    fastmcp_request_ctx.set(replace(request, session=kept, _srctx=inner))


def _take_headers_away() -> None:
    """Keep the agent's key from tools and from servers behind them: they are called by the gateway."""
    _current_http_request.set(None)
    request = fastmcp_request_ctx.get()
    if request is not None:
        inner = replace(request._srctx, request=None)
        fastmcp_request_ctx.set(replace(request, request=None, _srctx=inner))


def _take_trace_away(onward: TraceContext) -> None:
    """Keep the agent's trace from servers: it can be any text, and the call was approved without it.

    `onward` is what takes its place: the gateway's own span, where the operator lets the trace go on.
    """
    attach(onward)
    request = fastmcp_request_ctx.get()
    if request is None:
        return
    # The inner one has the SDK's names (progress_token), the outer one those of the wire (progressToken).
    inner = replace(request._srctx, meta=_without_trace(request._srctx.meta))
    fastmcp_request_ctx.set(replace(request, meta=_without_trace(request.meta), _srctx=inner))


def _without_trace(meta: Any) -> Any:
    return meta and {key: value for key, value in meta.items() if key not in TRACE}


def _meta_of(request: FastMCPRequestContext) -> dict[str, Any]:
    return {"_meta": request.meta} if request.meta else {}


def _params(call: ToolCall) -> dict[str, Any]:
    """What the tool finds as its request: the call as it is recorded, which is what was approved."""
    return {"name": call.tool_name, "arguments": call.arguments, **(call.continuation or {})}


class NoConnection:
    """The channel to an agent that has been answered or has left."""

    can_send_request = False

    async def notify(self, method: str, params: Any, opts: CallOptions | None = None) -> None:
        """Tell no one."""

    async def send_raw_request(self, method: str, params: Any, opts: CallOptions | None = None) -> Any:
        """Refuse: there is no one who could answer."""
        raise NoBackChannelError(method)


def _request_without_agent(call: ToolCall) -> FastMCPRequestContext:
    connection = Connection.from_envelope(STATELESS_VERSION, None, None)
    session = ServerSession(cast(Any, NoConnection()), connection)
    inner = ServerRequestContext[Any, Any](
        session=session,
        lifespan_context={},
        protocol_version=STATELESS_VERSION,
        method="tools/call",
        params=_params(call),
        request_id=call.arguments_sha256,
    )
    return FastMCPRequestContext(
        session=session,
        request_id=str(inner.request_id),
        meta=None,
        request=None,
        protocol_version=STATELESS_VERSION,
        close_sse_stream=None,
        lifespan_context={},
        _srctx=inner,
    )
