"""The edge for people, as the gateway builds it: they are told of a case, and they decide."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI

from atlas.agents.keys import AgentKeys
from atlas.database.sqlite import Database
from atlas.models import Case
from atlas.people.deciding import Decides
from atlas.people.description import add_description
from atlas.people.notices import Notifier
from atlas.people.reading import add_reading
from atlas.people.reviewers import ReviewerGate
from atlas.people.visitors import Visitors
from atlas.people.webhook import add_webhook
from atlas.settings import Settings


@dataclass(frozen=True)
class _Deciding:
    decisions: Decides
    announce: Callable[[Case], None]


class PeopleEdge:
    """Tells the reviewers, and takes what they decide."""

    def __init__(self, settings: Settings, agents: AgentKeys, database: Database) -> None:
        self._gate = ReviewerGate(settings, agents)
        self.visitors = Visitors(settings, agents)
        self._database = database
        self._notifier = Notifier(settings, database)
        self.tell = self._notifier.tell

    def add_to(self, app: FastAPI, *, decisions: Decides, announce: Callable[[Case], None]) -> None:
        """Serve the webhook and the cases; `announce` tells the workflow of what was decided."""
        add_webhook(app, gate=self._gate, parts=_Deciding(decisions, announce))
        add_reading(app, visitors=self.visitors, database=self._database)
        add_description(app)

    async def close(self) -> None:
        """Stop what is still being sent."""
        await self._notifier.close()
