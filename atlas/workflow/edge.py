"""The edge to Inngest, as the gateway builds it: the server, the courier, and the endpoint that is called."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import inngest
import inngest.fast_api
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from atlas.cases.store import CaseStore
from atlas.models import Case
from atlas.settings import Settings
from atlas.settings.inngest import EngineKind
from atlas.workflow.courier import Courier
from atlas.workflow.freshness import FreshnessGuard
from atlas.workflow.lone_engine import watch_alone
from atlas.workflow.server import SERVE_PATH, InngestServer
from atlas.workflow.signed import SignedAsSent
from atlas.workflow.stages import BindStages, Stages


class WorkflowEdge:
    """Announces cases to the workflow, and serves it the stages."""

    def __init__(self, settings: Settings, client: inngest.Inngest, store: CaseStore) -> None:
        self._settings = settings
        self._client = client
        self._lease = store.database.lease
        self.courier = Courier(client, store)
        self._server = InngestServer(settings, client)
        self.announce = self.courier.announce
        self.begun: list[Callable[[str], None]] = []  # told of each case whose run begins, or begins again

    @property
    def name(self) -> str:
        """Which server runs the workflow."""
        return self._server.name

    @property
    def problem(self) -> str | None:
        """Why the workflow does not run at the moment, or None."""
        return self._server.health() or self.courier.problem

    def add_to(self, app: FastAPI, function: inngest.Function[Any], stages: Stages) -> ASGIApp:
        """Serve the function at SERVE_PATH, and return the endpoint for calls from within this process."""
        inngest.fast_api.serve(
            app,
            self._client,
            [function],
            serve_origin=self._settings.inngest_serve_origin,
            public_path=self._public_path(),
            enable_unauthed_sync=False,
        )
        served = [route for route in app.routes if isinstance(route, APIRoute) and route.path == SERVE_PATH]
        for route in served:
            app.router.routes.remove(route)
        routes = [Route(route.path, route.endpoint, methods=list(route.methods or ())) for route in served]
        endpoint = self._guarded(Router(routes), stages)
        methods = sorted({method for route in served for method in route.methods or ()})
        served_to_others = self._signed(endpoint)
        app.router.routes.append(Route(SERVE_PATH, endpoint=served_to_others, methods=methods))
        return endpoint

    def _public_path(self) -> str | None:
        """The path that an Inngest server asks for at INNGEST_SERVE_ORIGIN: the SDK takes none from there."""
        origin = self._settings.inngest_serve_origin
        if origin is None or self._settings.engine_kind is EngineKind.EMBEDDED:
            return None
        return (urlsplit(origin).path.rstrip("/") or self._settings.atlas_root_path) + SERVE_PATH

    def _guarded(self, endpoint: ASGIApp, stages: Stages) -> ASGIApp:
        """The one order of guards, for calls from elsewhere and from this process alike."""
        bound = BindStages(endpoint, replace(stages, assess=self._telling(stages.assess)))
        if self._settings.engine_kind is EngineKind.INNGEST_DEV:  # a Dev Server signs nothing
            return bound
        return FreshnessGuard(bound)

    def _telling(self, assess: Callable[[str], Awaitable[Case]]) -> Callable[[str], Awaitable[Case]]:
        async def tell_and_assess(case_id: str) -> Case:
            for listener in self.begun:
                listener(case_id)
            return await assess(case_id)

        return tell_and_assess

    def _signed(self, endpoint: ASGIApp) -> ASGIApp:
        """The same for calls from elsewhere, which may be large and of strangers."""
        if self._settings.engine_kind is EngineKind.INNGEST_DEV:
            return endpoint
        keys = self._client.signing_key, self._client.signing_key_fallback
        return FreshnessGuard(SignedAsSent(endpoint, keys))  # what is old is not read

    async def _watch_engine(self) -> None:
        if self._lease.is_shared and self._settings.engine_kind is EngineKind.EMBEDDED:
            await watch_alone(self._lease)

    @asynccontextmanager
    async def run(self, endpoint: ASGIApp, *, url: str) -> AsyncIterator[None]:
        """Run or reach the server, and deliver what is announced."""
        async with self._server.run(endpoint, url=url):
            deliveries = asyncio.gather(self.courier.run(), self._watch_engine())
            try:
                yield
            finally:
                deliveries.cancel()
                with suppress(asyncio.CancelledError):
                    await deliveries
