"""The figures of people's decisions, for a person's program: GET /reviews/statistics."""

from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request
from pydantic import Field, StringConstraints
from sqlalchemy.engine import Connection

from atlas.attention.readers import whose
from atlas.attention.statistics import Statistics, statistics_of
from atlas.database.database import Database
from atlas.instants import now
from atlas.models import Frozen
from atlas.people.person import Person
from atlas.people.programs.known_first import person_first
from atlas.people.supervisors import is_supervisor
from atlas.people.visitors import Visitors
from atlas.settings import Settings

STATISTICS_PATH = "/reviews/statistics"
LONGEST_DAYS = 365
USUAL_DAYS = 30

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class StatisticsAsked(Frozen):
    """Of which days, and of whom."""

    days: Annotated[int, Field(ge=1, le=LONGEST_DAYS, description="So many days until now.")] = USUAL_DAYS
    person: Annotated[Name | None, Field(description="One person; without it, all that you may read.")] = None


def add_statistics(app: FastAPI, *, settings: Settings, visitors: Visitors, database: Database) -> None:
    """Serve them to people: a supervisor reads those of all, others their own beside the group's."""
    router = APIRouter(route_class=person_first(visitors), tags=["people"])

    @router.get(STATISTICS_PATH)
    async def statistics(request: Request, asked: Annotated[StatisticsAsked, Query()]) -> Statistics:
        """What people decided, how often they approved, and how long they looked."""
        return await database.look(
            partial(figures_for, settings=settings, reader=request.state.person, asked=asked)
        )

    app.router.routes.extend(router.routes)


def figures_for(
    connection: Connection, *, settings: Settings, reader: Person, asked: StatisticsAsked
) -> Statistics:
    """The figures that a person may read; raises NotPermitted."""
    sees_others = is_supervisor(connection, settings, reader)
    until = now()
    return statistics_of(
        connection,
        since=until - timedelta(days=asked.days),
        until=until,
        person=whose(reader, asked.person, is_supervisor=sees_others),
        sees_others=sees_others,
    )
