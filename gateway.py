"""Builds the gateway from its parts: one FastAPI app with MCP, Inngest and the reviewer's webhook."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import inngest
import inngest.fast_api
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastmcp import FastMCP
from fastmcp.server.http import HostOriginGuardMiddleware
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from atlas import __version__
from atlas.admit import Admission
from atlas.assess import Assessments
from atlas.assessors.choose import build_assessor
from atlas.assessors.guard import Guard
from atlas.assessors.policy import PolicyInForce
from atlas.assessors.policy.reloading import reloading_on_hangup
from atlas.auth import AgentKeys, FreshnessGuard, ReviewerGate, ThisMachineOnly
from atlas.cases import CaseStore
from atlas.database import Database
from atlas.decide import Decisions, decide_after_wait, decide_by_score
from atlas.delivery.resources import add_case_resources
from atlas.delivery.subscriptions import Subscriptions
from atlas.delivery.tasks import Tasks
from atlas.errors import AtlasError
from atlas.events import Courier
from atlas.execute import Executor
from atlas.health import add_health, add_index, banner
from atlas.inngest_server import SERVE_PATH, InngestServer
from atlas.mcp_server import GatewayServer
from atlas.notifications import Notifier
from atlas.report import add_get_outcome, report_failure
from atlas.serve import keep_values_out_of_logs, serve
from atlas.sessions.store import SessionStore
from atlas.settings import EngineKind, Settings, variables
from atlas.tools import WelfareOffice, add_welfare_tools
from atlas.transports import add_transports
from atlas.upstreams import Upstreams
from atlas.upstreams.config import read_upstreams
from atlas.upstreams.following import Following
from atlas.waiting import WaitingAgents
from atlas.webhook import add_error_shape, add_webhook
from workflows import BindStages, Stages, handle_governance, inngest_client


def create_app(settings: Settings, client: inngest.Inngest = inngest_client) -> FastAPI:
    """Build the app; its lifespan opens and closes everything that it needs."""
    database = Database(settings.atlas_data_dir)
    store, notifier, policy, model = CaseStore(database), Notifier(settings), *build_judges(settings)
    courier, engine = Courier(client, store), InngestServer(settings, client)
    agents, office = AgentKeys(settings), WelfareOffice(database)
    upstreams = Upstreams(read_upstreams(settings.atlas_mcp_config, variables()))
    waiting = WaitingAgents()
    server = build_server(settings, agents, office, store, courier, waiting, upstreams)
    subscriptions = Subscriptions(server, store)
    Following(server, upstreams, subscriptions)
    assessments = build_assessments(settings, store, server, policy, model, notifier)
    executor = Executor(
        store=store,
        server=server,
        judge=assessments,
        notifier=notifier,
        settings=settings,
        waiting=waiting,
        unknown=upstreams.unknown,
    )
    decisions = Decisions(
        store=store,
        rule=assessments.rule,
        timeout=settings.atlas_review_timeout,
        tell=notifier.review_requested,
    )
    stages = build_stages(settings, store, assessments, notifier, executor)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            keep_values_out_of_logs()
            stack.push_async_callback(database.close)
            await database.open()
            await office.seed()
            stack.push_async_callback(notifier.close)
            if model is not None:
                stack.push_async_callback(model.close)
            await executor.recover()  # before the servers are there: what was sent to one is never repeated
            await stack.enter_async_context(upstreams.open(server))
            stack.push_async_callback(executor.close)
            await stack.enter_async_context(reloading_on_hangup(policy))
            await stack.enter_async_context(mcp_lifespan())
            inngest_endpoint = inngest_alone(app, settings, stages)
            await stack.enter_async_context(engine.run(inngest_endpoint, url=app.state.url))
            stack.callback(subscriptions.close)
            deliveries = asyncio.create_task(courier.run())
            stack.callback(deliveries.cancel)
            yield

    # Without FastAPI's pages, whose scripts come from somebody else's host, and what they describe.
    app = FastAPI(title="ATLAS", version=__version__, lifespan=lifespan, openapi_url=None)
    app.state.url = f"http://127.0.0.1:{settings.atlas_port}"
    app.state.banner = banner(settings, server=engine, policy=policy, model=model, upstreams=upstreams)
    add_health(
        app,
        database=database,
        server=engine,
        courier=courier,
        policy=policy,
        model=model,
        upstreams=upstreams,
    )
    add_index(app, settings)
    add_webhook(app, gate=ReviewerGate(settings, agents), decisions=decisions, announce=courier.announce)
    add_error_shape(app)
    origin = settings.inngest_serve_origin
    inngest.fast_api.serve(app, client, [handle_governance], serve_origin=origin, enable_unauthed_sync=False)
    mcp_lifespan = add_transports(app, server, SessionStore(database))
    add_middleware(app, settings, stages)
    return app


def build_judges(settings: Settings) -> tuple[PolicyInForce, Guard | None]:
    """The policy, which rules on every call, and the model that is asked as well, if one is configured."""
    assessor = build_assessor(settings)
    policy = PolicyInForce(
        settings.atlas_policy, threshold=settings.atlas_risk_threshold, reviewers=settings.reviewers
    )
    return policy, Guard(assessor, seconds=settings.atlas_assess_seconds) if assessor else None


def build_assessments(
    settings: Settings,
    store: CaseStore,
    server: FastMCP,
    policy: PolicyInForce,
    model: Guard | None,
    notifier: Notifier,
) -> Assessments:
    """The stage that judges, and decides by the score in the same transaction."""
    return Assessments(
        store=store,
        server=server,
        policy=policy,
        model=model,
        settings=settings,
        notifier=notifier,
        decide=partial(decide_by_score, timeout=settings.atlas_review_timeout),
    )


def build_server(
    settings: Settings,
    agents: AgentKeys,
    office: WelfareOffice,
    store: CaseStore,
    courier: Courier,
    waiting: WaitingAgents,
    upstreams: Upstreams,
) -> FastMCP:
    """The MCP server: the gate, the tools and servers behind it, and the ways on which outcomes are told."""
    gate = Admission(
        store=store,
        announce=courier.announce,
        settings=settings,
        waiting=waiting,
        unknown=upstreams.unknown,
    )
    auth = None if settings.is_open else agents
    # A schema is listed as its server wrote it, references included.
    server = GatewayServer(
        "ATLAS", version=__version__, middleware=[gate], auth=auth, dereference_schemas=False
    )
    add_welfare_tools(server, office)
    add_get_outcome(server, store)
    server.add_extension(Tasks(store))
    add_case_resources(server, store)
    upstreams.mount(server)
    return server


def build_stages(
    settings: Settings,
    store: CaseStore,
    assessments: Assessments,
    notifier: Notifier,
    executor: Executor,
) -> Stages:
    """What the workflow calls, in the order of the path."""
    return Stages(
        assess=assessments.assess,
        ask=assessments.ask,
        decide=partial(decide_after_wait, store=store),
        execute=executor.execute,
        report_failure=partial(
            report_failure, store=store, notifier=notifier, settings=settings, give_up=executor.give_up
        ),
    )


def add_middleware(app: FastAPI, settings: Settings, stages: Stages) -> None:
    """Guard every route: who it is addressed to first, then how old it is."""
    app.add_middleware(BindStages, bound=stages)
    if settings.engine_kind is not EngineKind.INNGEST_DEV:  # a Dev Server signs nothing
        app.add_middleware(FreshnessGuard, path=SERVE_PATH)
    if settings.is_open:
        app.add_middleware(ThisMachineOnly)
    app.add_middleware(HostOriginGuardMiddleware, mode="strict", allowed_hosts=settings.allowed_hosts or None)


def inngest_alone(app: FastAPI, settings: Settings, stages: Stages) -> ASGIApp:
    """The endpoint of Inngest as this process calls it: guarded alike, not looked for among all routes."""
    routes = [
        Route(route.path, route.endpoint, methods=list(route.methods or ()))
        for route in app.routes
        if isinstance(route, APIRoute) and route.path == SERVE_PATH
    ]
    bound = BindStages(Router(routes), stages)
    return bound if settings.engine_kind is EngineKind.INNGEST_DEV else FreshnessGuard(bound, SERVE_PATH)


settings = Settings.read()
try:
    app = create_app(settings)
except AtlasError as error:
    raise SystemExit(str(error)) from None

if __name__ == "__main__":
    serve(app, settings, app.state.banner)
