"""What waits, what happened, and one case whole, for a person's program: GET /cases and GET /cases/{ref}."""

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Annotated

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints
from sqlalchemy.engine import Connection

from atlas.attention.views import opens
from atlas.cases.lists.listing import LONGEST_SEARCH, Filter, Line, Order, page_of
from atlas.cases.showing import Shown, shown
from atlas.cases.store import read_case
from atlas.database.database import Database
from atlas.models import Frozen, Status
from atlas.people.person import Person
from atlas.people.programs.known_first import person_first
from atlas.people.visitors import Visitors
from atlas.reviews.eligibility import entries_of_person
from atlas.reviews.permission import standing_of

CASES_PATH = "/cases"
LARGEST_PAGE = 200  # lines

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _in_utc(value: datetime) -> datetime:
    """The same moment; raises ValueError for one that UTC has no year for."""
    try:
        return value.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("a moment of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class CasesAsked(Frozen):
    """Which cases: all of what is given holds."""

    status: Annotated[tuple[Status, ...], Field(description="One or several; without it, all.")] = ()
    tool: Annotated[Name | None, Field(description="The name of the tool.")] = None
    agent: Annotated[Name | None, Field(description="The name of the agent.")] = None
    q: Annotated[
        Annotated[str, StringConstraints(max_length=LONGEST_SEARCH)] | None,
        Field(
            description="A text in reference, tool, agent, claims, arguments, the reviewer's name or reason."
        ),
    ] = None
    after: Annotated[
        Annotated[str, StringConstraints(max_length=1000)] | None,
        Field(description="`next_cursor` of the page before."),
    ] = None
    score: Annotated[int | None, Field(ge=0, le=100, description="At least this risk score.")] = None
    group: Annotated[
        Name | None, Field(description="A name or group that the policy names for the decision.")
    ] = None
    reviewer: Annotated[Name | None, Field(description="Who decided.")] = None
    mine: Annotated[
        bool, Field(description="Only what the policy lets you decide, yourself or for another.")
    ] = False
    assigned: Annotated[bool, Field(description="Only what a supervisor gave to you.")] = False
    since: Annotated[Moment | None, Field(description="Opened then or later.")] = None
    until: Annotated[Moment | None, Field(description="Opened before.")] = None
    order: Annotated[
        Order, Field(description="`riskiest` and `nearest_end` are for status=PENDING_REVIEW alone.")
    ] = Order.NEWEST
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE, description="Lines of a page.")] = 50

    def filter_for(self, name: str, entries: tuple[str, ...]) -> Filter:
        """The same for the store, by the names and groups of the person who asks."""
        return Filter(
            statuses=tuple(dict.fromkeys(self.status)),
            tool=self.tool,
            agent=self.agent,
            q=self.q,
            reviewer=self.reviewer,
            group=self.group,
            is_waiting_for=entries if self.mine else None,
            not_aside_for=name if self.mine else None,
            assigned_to=name if self.assigned else None,
            score_at_least=self.score,
            opened_after=self.since,
            opened_before=self.until,
        )


class CasesPage(Frozen):
    """Some cases. With `next_cursor` there may be more, also where a page has fewer lines than asked for."""

    cases: tuple[Line, ...]
    next_cursor: str | None
    looked_until: datetime | None  # how far back, or forward, the search has come


def add_reading(
    app: FastAPI,
    *,
    visitors: Visitors,
    database: Database,
    owners: Mapping[str, frozenset[str]],
    records_views: Callable[[], bool],
) -> None:
    """Serve the cases to people, and to no agent; `records_views`: whether a look goes into the ledger.

    `owners` are those of the agents.
    """
    router = APIRouter(route_class=person_first(visitors), tags=["people"])

    @router.get(CASES_PATH)
    @router.head(CASES_PATH, include_in_schema=False)
    async def cases(request: Request, asked: Annotated[CasesAsked, Query()]) -> CasesPage:
        """The cases, page by page."""
        page = await page_of(
            database,
            asked.filter_for(
                request.state.person.name,
                await database.look(partial(entries_of_person, person=request.state.person)),
            ),
            order=asked.order,
            after=asked.after,
            limit=asked.limit,
        )
        return CasesPage(cases=page.lines, next_cursor=page.next_cursor, looked_until=page.looked_until)

    @router.get(CASES_PATH + "/{ref}", response_model=Shown)
    @router.head(CASES_PATH + "/{ref}", include_in_schema=False)
    async def case(
        request: Request, ref: Annotated[str, Path(description="The reference, evt_…")]
    ) -> Response:
        """One case, with all that a reviewer needs for a decision."""
        # Written as JSON in the thread that reads: arguments and result may have megabytes.
        name = request.state.person.name
        read = partial(_shown_to, ref=ref[:100], person=request.state.person, owners=owners)
        text = await database.look(read)
        if request.method == "GET":
            await opens(database, ref, name, is_recorded=records_views())
        return Response(text, media_type="application/json")

    app.router.routes.extend(router.routes)


def _shown_to(
    connection: Connection, *, ref: str, person: Person, owners: Mapping[str, frozenset[str]]
) -> str:
    """A case as JSON, with what a person can do with it while it waits."""
    told = shown(connection, ref, person=person.name)
    case = read_case(connection, ref)
    if case.decision is None and case.status.is_undecided:
        of_agent = owners.get(case.call.principal, frozenset())
        told = told.model_copy(update={"you": standing_of(connection, case, person, of_agent)})
    return told.model_dump_json()
