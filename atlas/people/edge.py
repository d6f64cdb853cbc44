"""The edge for people, as the gateway builds it: they are told of a case, and they decide."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI

from atlas.agents.keys import AgentKeys
from atlas.assessors.policy.in_force import PolicyInForce
from atlas.attention.edge import add_statistics
from atlas.attention.seeding import Seeding
from atlas.background import in_background
from atlas.cases.store import CaseStore
from atlas.database.database import Database
from atlas.models import Case
from atlas.outbox.channels.slack_api import SlackApi
from atlas.outbox.courier import Courier
from atlas.people.deciding import Decides
from atlas.people.notices import Notifier
from atlas.people.passkeys.edge import add_challenges
from atlas.people.programs.description import add_description
from atlas.people.programs.reading import add_reading
from atlas.people.programs.taking import add_taking
from atlas.people.programs.together import Together
from atlas.people.programs.webhook import add_webhook
from atlas.people.programs.webhook_of_many import add_many
from atlas.people.proxied import ProxyHeaders
from atlas.people.records.keeping import note_keys
from atlas.people.reviewers import ReviewerGate
from atlas.people.systems.gate import PeopleThere, WebhookGate
from atlas.people.systems.slack import SlackButtons, add_slack
from atlas.people.visitors import Visitors
from atlas.plans.edge import add_plans
from atlas.plans.making import PlanBook
from atlas.reviews.clock import Clock
from atlas.settings import Settings
from atlas.stop.edge import add_stops
from atlas.stop.known import Known
from atlas.stop.stops import Stops


@dataclass(frozen=True)
class _Deciding:
    decisions: Decides
    announce: Callable[[Case], None]


class PeopleEdge:
    """Tells the reviewers, and takes what they decide."""

    def __init__(
        self,
        settings: Settings,
        agents: AgentKeys,
        database: Database,
        *,
        servers: Collection[str],
        offered: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        """`servers` are the names of those behind the gateway, `offered` the names of tools."""
        self._settings = settings
        self._agents = agents
        self._slack_api = SlackApi(settings)
        self._people_there = PeopleThere(settings.webhook_people, database)
        self._gate = ReviewerGate(settings, agents, database)
        self._webhook_gate = WebhookGate(settings, self._gate, agents, self._people_there)
        self._database = database
        self.visitors = Visitors(settings, agents, database)
        self.courier = Courier(settings, database, url=self._public_url)
        self._notifier = Notifier(database, wake=self.courier.wake)
        self.tell = self._notifier.tell
        self._seeding: Seeding | None = None
        known = Known(settings, database, servers=servers, offered=offered)
        self._clock = Clock(database)
        self.note = self._clock.note
        self.stops = Stops(database, known=known, tell=self._notifier.tell_of_stop)

    def _public_url(self) -> str:
        """Where people reach the gateway: as the settings say, or as start-up prints it."""
        public = self._settings.atlas_public_url
        return str(public).rstrip("/") if public else self._app.state.url + self._settings.atlas_root_path

    def add_to(
        self,
        app: FastAPI,
        *,
        decisions: Decides,
        plans: PlanBook,
        announce: Callable[[Case], None],
        store: CaseStore,
        policy: PolicyInForce,
    ) -> None:
        """Serve what people ask for and say over HTTP.

        `announce` tells the workflow of what was decided.
        """
        self._app = app
        app.add_middleware(ProxyHeaders, settings=self._settings)  # whether there is a proxy or not
        parts = _Deciding(decisions, announce)
        add_webhook(app, gate=self._webhook_gate, parts=parts)
        together = Together(parts, self._database, lambda: policy.policy.file.desk.together_below)
        add_many(app, gate=self._gate, together=together)
        buttons = SlackButtons(
            self._settings, self._agents, self._people_there, parts, self._slack_api, self.courier.rewriter
        )
        add_slack(app, buttons, url=self._public_url)
        add_reading(
            app,
            visitors=self.visitors,
            database=self._database,
            owners=self._settings.owners_of_agents,
            records_views=lambda: policy.policy.file.desk.record_views,
        )
        self._seeding = Seeding(
            store,
            rule=decisions.rule,
            seeds=lambda: policy.policy.file.desk,
            tell=self.tell,
            timeout=self._settings.atlas_review_timeout,
        )
        add_taking(app, settings=self._settings, visitors=self.visitors, database=self._database)
        add_challenges(app, visitors=self.visitors, database=self._database)
        add_statistics(app, settings=self._settings, visitors=self.visitors, database=self._database)
        add_stops(app, stops=self.stops, visitors=self.visitors)
        add_plans(app, book=plans, visitors=self.visitors)
        add_description(app)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Do what is due and send what has to be told, as long as the gateway runs."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._notifier.close)
            stack.push_async_callback(self._slack_api.close)
            stack.push_async_callback(self.courier.close)
            await self._database.write(partial(note_keys, names=self._settings.reviewers))
            for part in (self.courier, self.courier.rewriter, self._clock, self._seeding):
                if part is not None:
                    await stack.enter_async_context(in_background(part.run))
            yield
