"""The page of statistics: what people decided, how often they approved, and how long they looked."""

from functools import partial

from fastapi import APIRouter, Request, Response

from atlas.attention.edge import USUAL_DAYS, StatisticsAsked, figures_for
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of

STATISTICS = f"{DESK}/statistics"
PERIODS = (7, 30, 90)


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page."""
    parts = pages.parts

    @router.get(STATISTICS)
    async def statistics(request: Request) -> Response:
        """The figures of a period."""
        person = person_of(request)
        given = request.query_params.get("days", "")
        days = int(given) if given in map(str, PERIODS) else USUAL_DAYS
        asked = StatisticsAsked(days=days)
        work = partial(figures_for, settings=parts.settings, reader=person, asked=asked)
        figures = await parts.store.database.look(work)
        return await pages.page(
            request, "statistics.html", person=person, days=days, periods=PERIODS, figures=figures
        )
