"""Sends spans to an OpenTelemetry collector, in a thread of its own: one that is gone holds up no call.

The provider is not the one of the process: FastMCP and the MCP SDK would then send spans of their own, with
the words of exceptions and the addresses of resources in them.
"""

import asyncio
from typing import Any
from urllib.parse import unquote

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

from atlas import __version__
from atlas.outside.adapter import BoundedAdapter
from atlas.outside.attempts import in_thread, within
from atlas.proxies import proxy_of
from atlas.settings import Settings, variables

SERVICE = "atlas-gateway"
EXPORT_SECONDS = 5.0
CLOSE_SECONDS = 2.0


class Collector:
    """The collector that the settings name."""

    def __init__(self, settings: Settings) -> None:
        url = str(settings.otel_exporter_otlp_endpoint).rstrip("/") + "/v1/traces"
        exporter = OTLPSpanExporter(
            url, headers=_headers(settings), timeout=EXPORT_SECONDS, session=_session(url)
        )
        resource = Resource.create({"service.name": SERVICE, "service.version": __version__})
        # All of them: an agent cannot keep its calls out, and what is too much a collector samples.
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer: Tracer = self._provider.get_tracer("atlas", __version__)

    async def close(self) -> None:
        """Send what is left, for a moment."""
        ending = asyncio.ensure_future(in_thread(self._provider.shutdown, name="spans-end"))
        await asyncio.wait([ending], timeout=CLOSE_SECONDS)


def _headers(settings: Settings) -> dict[str, str]:
    said = settings.otel_exporter_otlp_headers
    pairs = said.get_secret_value().strip().split(",") if said else []
    return {name: unquote(value) for name, _, value in (pair.partition("=") for pair in pairs)}


class BoundedSession(requests.Session):
    """Sends each request on a connection of its own, which is cut off after a few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.mount("http://", BoundedAdapter())
        self.mount("https://", BoundedAdapter())

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        """Send one request; raises requests.RequestException."""
        try:
            with within(EXPORT_SECONDS):
                return super().send(request, **how)
        finally:
            self.close()


def _session(url: str) -> Any:
    """A session that goes by the gateway's own rule for proxies: none for what is on this machine."""
    session = BoundedSession()
    session.trust_env = False
    proxy = proxy_of(url, variables())
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    return session
