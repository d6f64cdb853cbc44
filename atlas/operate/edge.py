"""What an operator meets, as the gateway builds it: health, errors, who is served at all, what is watched."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from atlas import __version__
from atlas.agents.transports import PREFIX
from atlas.assessors.choose import Judges
from atlas.cases.store import CaseStore
from atlas.door.bodies import BoundedBodies
from atlas.operate.addresses import AddressGuard, OwnPaths
from atlas.operate.doorways import Doorways
from atlas.operate.draining import ClosesConnections, Drain
from atlas.operate.error_shape import add_error_shape
from atlas.operate.health import add_health, add_index, banner
from atlas.operate.this_machine import ThisMachineOnly
from atlas.settings import Settings
from atlas.telemetry.edge import Telemetry as Telemetry
from atlas.upstreams import Upstreams
from atlas.workflow.edge import WorkflowEdge


def bare_app(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> FastAPI:
    """An app without FastAPI's pages, whose scripts come from another host, and what they describe."""
    return FastAPI(title="ATLAS", version=__version__, lifespan=lifespan, openapi_url=None)


def add_operations(
    app: FastAPI,
    settings: Settings,
    *,
    store: CaseStore,
    is_executing: Callable[[], bool],
    workflow: WorkflowEdge,
    judges: Judges,
    upstreams: Upstreams,
) -> None:
    """Serve the routes of operators, and guard every route by whom it is addressed to."""
    policy, model = judges
    app.state.drain = Drain(
        store,
        is_executing=is_executing,
        drain_time=settings.atlas_drain_time,
        stop_timeout=settings.atlas_stop_timeout,
    )
    app.state.url = f"http://127.0.0.1:{settings.atlas_port}"  # until the port is bound
    app.state.lease = store.database.lease
    app.state.banner = banner(settings, workflow=workflow, policy=policy, model=model, upstreams=upstreams)
    add_health(app, store=store, workflow=workflow, policy=policy, model=model, upstreams=upstreams)
    add_index(app, settings)
    add_error_shape(app)
    if settings.is_open:
        app.add_middleware(ThisMachineOnly)
    app.add_middleware(BoundedBodies, doorway_of=Doorways(settings))
    hosts, origins = settings.allowed_hosts, settings.allowed_origins
    app.add_middleware(AddressGuard, hosts=hosts, origins=origins, pages_at=PREFIX)
    app.add_middleware(ClosesConnections, state=store.draining)
    app.add_middleware(OwnPaths, root_path=settings.atlas_root_path)  # in front: the guards go by the path
    app.router.redirect_slashes = False
