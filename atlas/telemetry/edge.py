"""What is watched, as the gateway builds it; where it is off nothing of it is loaded, and nothing counted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from atlas.agents.edge import AgentsEdge
from atlas.assessors.choose import Judges
from atlas.background import in_background
from atlas.cases.store import CaseStore
from atlas.people.edge import PeopleEdge
from atlas.settings import Settings
from atlas.settings.telemetry import LogForm
from atlas.upstreams import Upstreams
from atlas.workflow.edge import WorkflowEdge

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from atlas.telemetry.collector import Collector


class Telemetry:
    """Tells operators' systems what the gateway does."""

    def __init__(self, settings: Settings, store: CaseStore) -> None:
        self._settings = settings
        self._store = store
        self._collector: Collector | None = None

    def follow(self, agents: AgentsEdge, upstreams: Upstreams) -> None:
        """Follow calls from their arrival on, if the settings ask for it; before the gate is there."""
        if not self._settings.is_traced:
            return
        from atlas.telemetry.call_spans import CallSpans
        from atlas.telemetry.tracing import Tracing

        far = self._settings.atlas_agent_traces
        says = self._settings.atlas_trace_arguments
        tracing = Tracing(self._tracer(), far=far, says_arguments=says, owner_of=upstreams.owner_of)
        agents.server.add_middleware(CallSpans(tracing.tracer, far=far))
        agents.waiting.onward = tracing.onward
        self._store.database.listeners.append(tracing)
        if self._settings.atlas_log is LogForm.JSON:
            from atlas.telemetry.state_log import StateLog

            self._store.database.listeners.append(StateLog(tracing.trace_id))

    def _tracer(self) -> "Tracer":
        """What makes spans: for a collector, or with their numbers alone."""
        if self._settings.otel_exporter_otlp_endpoint is None:
            from atlas.telemetry.contexts import NamingTracer

            return NamingTracer()
        from atlas.telemetry.collector import Collector

        self._collector = Collector(self._settings)
        return self._collector.tracer

    def add_to(
        self,
        app: FastAPI,
        *,
        people: PeopleEdge,
        workflow: WorkflowEdge,
        judges: Judges,
        upstreams: Upstreams,
    ) -> None:
        """Serve the metrics, if the settings say where; last, since nothing guards a port of their own."""
        if not self._settings.is_measured:
            return
        from atlas.telemetry.exposition import Exposition
        from atlas.telemetry.metrics import Metrics
        from atlas.telemetry.scraped import Parts

        parts = Parts(self._store.database, workflow, people.courier, judges.model, upstreams)
        metrics = Metrics(self._settings, parts)
        Exposition(metrics.text, key=self._settings.atlas_metrics_key).add_to(app)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Verify the ledger in the background, where someone can see that it was."""
        if not self._settings.is_measured:
            yield
            return
        from atlas.telemetry.ledger_check import LedgerCheck

        check = LedgerCheck(self._store.database, every=self._settings.atlas_ledger_check)
        async with in_background(check.run):
            yield

    async def close(self) -> None:
        """Send the spans that are left; after all that makes some has ended."""
        if self._collector is not None:
            await self._collector.close()
