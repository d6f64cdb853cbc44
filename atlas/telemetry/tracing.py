"""Follows each call: a span for each stage, made of what the stages put into the ledger, once it is on disk.

A person's wait is no span. What comes after it begins another trace, whose spans point to the span in which
the call came in; that one is kept with the case, so that they do so after a restart and in another gateway.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode, Tracer
from sqlalchemy.engine import Connection

from atlas.assessors.masking import mask
from atlas.ledger import Act, Action
from atlas.models import Case
from atlas.settings.telemetry import AgentTraces
from atlas.telemetry import names
from atlas.telemetry.contexts import NO_PARENT, below, pointing_to, read_context, text_of
from atlas.telemetry.tables import case_spans

MOST_KNOWN = 10_000  # cases whose spans are in memory; of others the first is read from the store
LONGEST_ARGUMENTS = 4096  # characters
BY_SCORE = {Action.AUTO_APPROVED: "score", Action.PLAN_USED: "plan", Action.DENIED: "policy"}
AFTER_WAIT = {Action.APPROVED: "person", Action.REJECTED: "person", Action.EXPIRED: "time"}
WAITS = (Action.REVIEW_REQUESTED, Action.REOPENED, Action.TAKEN_BACK)
ENDS = (Action.EXECUTED, Action.EXECUTION_REFUSED, Action.OUTCOME_UNKNOWN)

# The span of the request that is being served, in which a call comes in.
call_span: ContextVar[SpanContext | None] = ContextVar("call_span", default=None)


@dataclass
class Known:
    """The trace of a case."""

    first: SpanContext  # in which the call came in
    parent: SpanContext | None  # of what comes next; None: it begins a trace
    since: int  # nanoseconds, when the last stage ended


class Tracing:
    """Hears of changes, and tells of them in spans."""

    def __init__(
        self,
        tracer: Tracer,
        *,
        far: AgentTraces,
        says_arguments: bool,
        owner_of: Callable[[str], str | None],
    ) -> None:
        self.tracer = tracer
        self._far = far
        self._says_arguments = says_arguments
        self._owner_of = owner_of
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._running: dict[str, Span] = {}

    def trace_id(self, case_id: str) -> str | None:
        """The trace in which a call came in, as 32 hex digits."""
        known = self._known.get(case_id)
        return None if known is None else f"{known.first.trace_id:032x}"

    def onward(self, case: Case) -> Context:
        """What a server behind the gateway is told of the trace of a call: nothing, unless it may go on."""
        running = self._running.get(case.case_id)
        if self._far is not AgentTraces.THROUGH or running is None:
            return NO_PARENT
        return below(running.get_span_context())

    def join(self, connection: Connection, facts: Sequence[Any]) -> None:
        """Keep the span in which a call came in, and read that of one which is not known here."""
        for act in facts:
            if not isinstance(act, Act) or not act.case_id:
                continue
            if act.action is Action.ADMITTED and (first := call_span.get()) is not None:
                row = {"case_id": act.case_id, "traceparent": text_of(first)}
                connection.execute(case_spans.insert().values(row))
                self._note(act.case_id, Known(first, first, time.time_ns()))
            elif act.case_id not in self._known:
                self._read(connection, act.case_id)

    def _read(self, connection: Connection, case_id: str) -> None:
        kept = sa.select(case_spans.c.traceparent).where(case_spans.c.case_id == case_id)
        text = connection.execute(kept).scalar()
        if text is not None and (first := read_context(text)) is not None:
            self._note(case_id, Known(first, None, time.time_ns()))

    def _note(self, case_id: str, known: Known) -> None:
        self._known[case_id] = known
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def hear(self, facts: Sequence[Any], result: Any, seconds: float) -> None:
        """Tell of a change."""
        case = result if isinstance(result, Case) else None
        for act in facts:
            if isinstance(act, Act) and (known := self._known.get(act.case_id)) is not None:
                self._tell(act, known, case, seconds)

    def _tell(self, act: Act, known: Known, case: Case | None, seconds: float) -> None:
        if act.action is Action.ADMITTED:
            known.since = time.time_ns() - int(seconds * 1e9)
            self._stage(act, known)
        elif act.action is Action.ASSESSED:
            self._stage(act, known, {names.RISK_SCORE: int(act.detail.get("risk_score", 0))})
        elif act.action in BY_SCORE:
            self._stage(act, known, {names.DECIDED_BY: BY_SCORE[act.action]})
        elif act.action in WAITS:
            self._stage(act, known)
            known.parent = None
        elif act.action in AFTER_WAIT:
            self._decided(act, known, case, seconds)
        elif act.action is Action.EXECUTING and case is not None:
            self._running[act.case_id] = self._execution(act, known, case)
        elif act.action in ENDS:
            self._end(act)
        elif act.action is Action.FAILED:
            self._stage(act, known, {names.ERROR_TYPE: "workflow_failed"})

    def _stage(self, act: Act, known: Known, more: dict[str, Any] | None = None) -> Span:
        """The span of a stage, from the end of the last one until now."""
        stage, outcome = act.action.value.split(".")
        said = {names.STAGE: stage, names.OUTCOME: outcome, names.REFERENCE: act.case_id} | (more or {})
        span = self._begin(stage, known, said, kind=SpanKind.INTERNAL, since=known.since)
        known.since = time.time_ns()
        if names.ERROR_TYPE in said:
            span.set_status(StatusCode.ERROR)
        span.end(known.since)
        return span

    def _begin(
        self, name: str, known: Known, said: dict[str, Any], *, kind: SpanKind, since: int | None = None
    ) -> Span:
        links = pointing_to(known.first) if known.parent is None else []
        parent = below(known.parent)
        return self.tracer.start_span(name, parent, kind, said, links, start_time=since)

    def _decided(self, act: Act, known: Known, case: Case | None, seconds: float) -> None:
        """What ends a wait begins a trace: the wait is not in it."""
        known.parent, known.since = None, time.time_ns() - int(seconds * 1e9)
        more: dict[str, Any] = {names.DECIDED_BY: AFTER_WAIT[act.action]}
        if case is not None and case.decision is not None:
            since = case.assessment.assessed_at if case.assessment else case.opened_at
            more[names.WAITED_SECONDS] = (case.decision.decided_at - since).total_seconds()
        known.parent = self._stage(act, known, more).get_span_context()

    def _execution(self, act: Act, known: Known, case: Case) -> Span:
        tool, server = case.call.tool_name, self._owner_of(case.call.tool_name)
        said = {
            names.STAGE: "execute",
            names.REFERENCE: act.case_id,
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL: tool,
        }
        if self._says_arguments:
            said[names.ARGUMENTS] = told_arguments(case.call_in_force.arguments)
        if not server:
            return self._begin(names.span_of_execution(tool), known, said, kind=SpanKind.INTERNAL)
        said |= {names.MCP_METHOD: names.TOOLS_CALL, names.SERVER: server}
        return self._begin(names.span_of_call(tool), known, said, kind=SpanKind.CLIENT)

    def _end(self, act: Act) -> None:
        span = self._running.pop(act.case_id, None)
        if span is None:
            return
        outcome = act.action.value.partition(".")[2]
        is_error = bool(act.detail.get("is_error"))
        span.set_attribute(names.OUTCOME, names.TOOL_ERROR if is_error else outcome)
        if is_error or act.action is not Action.EXECUTED:
            span.set_attribute(names.ERROR_TYPE, names.TOOL_ERROR if is_error else outcome)
            span.set_status(StatusCode.ERROR)
        span.end()


def told_arguments(arguments: dict[str, Any]) -> str:
    """The arguments as a span may have them, if an operator asks for them."""
    text = json.dumps(arguments, ensure_ascii=False)
    if len(text) > LONGEST_ARGUMENTS:
        return f"[{len(text)} characters, which is more than {LONGEST_ARGUMENTS}]"
    return json.dumps(mask(arguments), ensure_ascii=False)
