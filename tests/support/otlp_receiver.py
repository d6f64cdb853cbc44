"""A real receiver of OTLP over HTTP on loopback: what it is sent is parsed as the protocol has it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway_process import WAIT_SECONDS, eventually
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.requests import Request
from starlette.responses import Response
from upstream_by_hand import posted_to

QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "100"}  # milliseconds, as OpenTelemetry's SDK reads it


@dataclass(frozen=True)
class Told:
    """A span as it was received."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]  # trace and span
    attributes: dict[str, Any]
    seconds: float
    is_error: bool
    message: str  # of its status


@dataclass
class Receiver:
    """What came in, the newest last."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    spans: list[Told] = field(default_factory=list)

    async def span(self, name: str, number: int = 1) -> Told:
        """The span of a name, the first or a later one, once it is there."""
        return (await self.named(name, number))[number - 1]

    async def named(self, name: str, count: int) -> list[Told]:
        """Spans of a name, once there are so many."""

        async def are_there() -> bool:
            return len([one for one in self.spans if one.name == name]) >= count

        await eventually(are_there, seconds=WAIT_SECONDS)
        return [one for one in self.spans if one.name == name]

    def take(self, body: bytes) -> None:
        """Parse a request."""
        self.bodies.append(body)
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_attributes(of_resource.resource.attributes))
            self.spans += [_told(span) for scope in of_resource.scope_spans for span in scope.spans]


def _told(span: Any) -> Told:
    return Told(
        name=span.name,
        kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes=_attributes(span.attributes),
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        is_error=span.status.code == 2,
        message=span.status.message,
    )


def _attributes(said: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in said}


@asynccontextmanager
async def otlp_receiver() -> AsyncIterator[Receiver]:
    """A collector that takes everything."""
    receiver = Receiver()

    async def take(request: Request) -> Response:
        receiver.headers.append(dict(request.headers))
        receiver.take(await request.body())
        return Response(b"", media_type="application/x-protobuf")

    async with posted_to(take, path="/v1/traces") as (_, entry):
        receiver.url = entry["url"].removesuffix("/mcp")
        yield receiver
