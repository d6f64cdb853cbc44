"""The edge for agents, as the gateway builds it: who they are, the server they speak to, its transports."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from atlas import __version__
from atlas.agents.answers import INSTRUCTIONS
from atlas.agents.get_outcome import add_get_outcome
from atlas.agents.give_information import add_give_information
from atlas.agents.held_calls import WaitingAgents
from atlas.agents.keys import AgentKeys
from atlas.agents.readings import Readings
from atlas.agents.receipt import Receipts
from atlas.agents.resources import add_case_resources
from atlas.agents.server import GatewayServer
from atlas.agents.sessions.store import SessionStore
from atlas.agents.subscriptions import Subscriptions
from atlas.agents.tasks import Tasks
from atlas.agents.transports import add_transports
from atlas.cases.store import CaseStore
from atlas.settings import Settings
from atlas.stop.beside_tools import asking_stops
from atlas.upstreams import Upstreams
from atlas.upstreams.following import Following


class AgentsEdge:
    """One MCP server; the path puts its gate in front, and tools and servers are added behind it."""

    def __init__(self, settings: Settings, store: CaseStore) -> None:
        self._store = store
        self._most_sessions = settings.atlas_sessions_per_agent
        self._origins = settings.allowed_origins
        self._trusts_client = settings.atlas_trust_user_request
        self.keys = AgentKeys(settings)
        self.waiting = WaitingAgents()
        self.server = GatewayServer(
            "ATLAS",
            instructions=INSTRUCTIONS,
            version=__version__,
            auth=None if settings.is_open else self.keys,
            dereference_schemas=False,  # a schema is listed as its server wrote it, references included
        )

    def add_outcomes(self) -> None:
        """Offer every way in which an outcome reaches its agent."""
        add_get_outcome(self.server, self._store)
        add_give_information(self.server, self._store)
        self.server._mcp_server.middleware.insert(0, Receipts(self._store))
        self.server.add_extension(Tasks(self._store, self.waiting))
        add_case_resources(self.server, self._store)
        self.server.add_middleware(Readings(self._store.database, trusts_client=self._trusts_client))

    def add_upstreams(self, upstreams: Upstreams) -> Subscriptions:
        """Offer the servers behind the gateway, and have agents follow what changes there."""
        upstreams.mount(self.server, refusal=asking_stops(self._store.database))
        subscriptions = Subscriptions(self.server, self._store)
        Following(self.server, upstreams, subscriptions)
        return subscriptions

    async def tool_names(self) -> set[str]:
        """The names of the tools that agents can call at the moment."""
        return {tool.name for tool in await self.server.list_tools(run_middleware=False)}

    def add_to(self, app: FastAPI) -> Callable[[], AbstractAsyncContextManager[None]]:
        """Serve it; returns the lifespan that has to run meanwhile."""
        sessions = SessionStore(self._store.database)
        most = self._most_sessions
        return add_transports(app, self.server, sessions, most_present=most, origins=self._origins)
