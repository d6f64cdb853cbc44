"""The edge for people, as the gateway builds it: they are told of a case, and they decide."""

from collections.abc import Callable

from fastapi import FastAPI

from atlas.agents.keys import AgentKeys
from atlas.database.sqlite import Database
from atlas.models import Case
from atlas.people.notices import Notifier
from atlas.people.proxied import ProxyHeaders
from atlas.people.reviewers import ReviewerGate
from atlas.people.visitors import Visitors
from atlas.people.webhook import Decides, add_webhook
from atlas.settings import Settings


class PeopleEdge:
    """Tells the reviewers, and takes what they decide."""

    def __init__(self, settings: Settings, agents: AgentKeys, database: Database) -> None:
        self._settings = settings
        self._gate = ReviewerGate(settings, agents)
        self.visitors = Visitors(settings, agents, database)
        self._notifier = Notifier(settings, database)
        self.tell = self._notifier.tell

    def add_to(self, app: FastAPI, *, decisions: Decides, announce: Callable[[Case], None]) -> None:
        """Serve the webhook; `announce` tells the workflow of what was decided."""
        app.add_middleware(ProxyHeaders, settings=self._settings)  # whether there is a proxy or not
        add_webhook(app, gate=self._gate, decisions=decisions, announce=announce)

    async def close(self) -> None:
        """Stop what is still being sent."""
        await self._notifier.close()
