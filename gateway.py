"""Builds the gateway from its parts: one FastAPI app with MCP, Inngest and the reviewer's webhook."""

import atlas.operate.start  # noqa: F401  (before all others, for what it does to them)

# isort: split
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import inngest
from fastapi import FastAPI

from atlas.agents.edge import AgentsEdge
from atlas.assessors.choose import build_judges
from atlas.cases.store import CaseStore
from atlas.database.choose import build_database
from atlas.desk.edge import add_desk
from atlas.operate.edge import Telemetry, add_operations, bare_app
from atlas.operate.serving import keep_values_out_of_logs, or_a_sentence, serve
from atlas.path import build_path
from atlas.people.edge import PeopleEdge
from atlas.settings import Settings
from atlas.upstreams import Upstreams
from atlas.welfare import WelfareOffice, add_welfare_tools, is_offered
from atlas.workflow.edge import WorkflowEdge
from workflows import handle_governance, inngest_client


def create_app(settings: Settings, client: inngest.Inngest = inngest_client) -> FastAPI:
    """Build the app; its lifespan opens and closes everything that it needs."""
    database = build_database(settings)
    store, office = CaseStore(database), WelfareOffice(database)
    judges = build_judges(settings)
    upstreams = Upstreams.of(settings)
    agents = AgentsEdge(settings, store)
    people = PeopleEdge(settings, agents.keys, database, servers=upstreams.names, offered=agents.tool_names)
    store.listeners.append(people.note)
    workflow = WorkflowEdge(settings, client, store)
    telemetry = Telemetry(settings, store)
    telemetry.follow(agents, upstreams)
    if has_office := is_offered(settings, upstreams.all):
        add_welfare_tools(agents.server, office)
    path = build_path(
        settings,
        store=store,
        server=agents.server,
        waiting=agents.waiting,
        judges=judges,
        announce=workflow.announce,
        tell=people.tell,
        unknown=upstreams.unknown,
    )
    agents.add_outcomes()
    subscriptions = agents.add_upstreams(upstreams)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            keep_values_out_of_logs()
            stack.push_async_callback(telemetry.close)
            stack.push_async_callback(database.close)
            await database.open()
            if has_office:
                await office.seed()
            await stack.enter_async_context(judges.open(database))
            await stack.enter_async_context(people.run())
            # Before the servers are there: nothing is sent twice.
            await stack.enter_async_context(path.execution.recovering())
            await stack.enter_async_context(upstreams.open(agents.server))
            stack.push_async_callback(path.execution.close)
            await stack.enter_async_context(mcp_lifespan())
            await stack.enter_async_context(workflow.run(inngest_endpoint, url=app.state.url))
            stack.callback(subscriptions.close)
            await stack.enter_async_context(telemetry.run())
            yield

    app = bare_app(lifespan)
    mcp_lifespan = agents.add_to(app)  # the routes that are asked for most stand in front
    add_operations(
        app,
        settings,
        store=store,
        is_executing=lambda: path.execution.is_busy,
        workflow=workflow,
        judges=judges,
        upstreams=upstreams,
    )
    people.add_to(
        app,
        decisions=path.decisions,
        plans=path.plans,
        announce=workflow.announce,
        store=store,
        policy=judges.policy,
    )
    add_desk(
        app,
        settings,
        store=store,
        visitors=people.visitors,
        decisions=path.decisions,
        announce=workflow.announce,
        stops=people.stops,
        plans=path.plans,
        policy=judges.policy,
    )
    inngest_endpoint = workflow.add_to(app, handle_governance, path.stages)
    telemetry.add_to(app, people=people, workflow=workflow, judges=judges, upstreams=upstreams)
    return app


settings = Settings.read()
with or_a_sentence():
    app = create_app(settings)

if __name__ == "__main__":
    serve(app, settings, app.state.banner)
