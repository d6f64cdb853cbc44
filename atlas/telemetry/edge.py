"""What is watched, as the gateway builds it; where it is off nothing of it is loaded, and nothing counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from atlas.assessors.choose import Judges
from atlas.cases.store import CaseStore
from atlas.people.edge import PeopleEdge
from atlas.settings import Settings
from atlas.upstreams import Upstreams
from atlas.workflow.edge import WorkflowEdge


class Telemetry:
    """Tells operators' systems what the gateway does."""

    def __init__(self, settings: Settings, store: CaseStore) -> None:
        self._settings = settings
        self._store = store

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
        task = asyncio.create_task(check.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
