"""Trace contexts: as W3C text, as a parent, and made without an SDK where no collector keeps spans."""

import re
import secrets
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN_ID,
    INVALID_TRACE_ID,
    Link,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
NO_PARENT = Context()


def text_of(context: SpanContext) -> str:
    """The `traceparent` of a context."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def read_context(text: str) -> SpanContext | None:
    """The context of a `traceparent`; None: it is none."""
    found = TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def below(context: SpanContext | None) -> Context:
    """A context in which a span begins as a child, without what else an agent said (`tracestate`)."""
    if context is None:
        return NO_PARENT
    known = SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
    return set_span_in_context(NonRecordingSpan(known), NO_PARENT)


def pointing_to(*contexts: SpanContext | None) -> list[Link]:
    """The links of a span to others."""
    return [Link(SpanContext(one.trace_id, one.span_id, True, one.trace_flags)) for one in contexts if one]


class NamingTracer(NoOpTracer):
    """Gives each span its number in its trace, and keeps nothing of it."""

    def start_span(self, name: str, context: Context | None = None, *given: Any, **named: Any) -> Span:
        """A span that is known by its context alone."""
        parent = get_current_span(context).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else _number(128, not_this=INVALID_TRACE_ID)
        span_id = _number(64, not_this=INVALID_SPAN_ID)
        return NonRecordingSpan(SpanContext(trace_id, span_id, False, parent.trace_flags))


def _number(bits: int, *, not_this: int) -> int:
    return secrets.randbits(bits) or not_this + 1
