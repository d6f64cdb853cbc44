"""The overview: what waits, how calls ended, how people decided, how fast, and at which scores."""

from fastapi import APIRouter, Request, Response

from atlas.cases.figures.period import LONGEST_DAYS
from atlas.desk.figures.charts import charts_of, tiles_of
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.outbox.troubles import troubles

PERIODS = (7, 30, LONGEST_DAYS)
USUAL = 30


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the overview."""

    @router.get(f"{DESK}/overview")
    async def overview(request: Request) -> Response:
        """The figures of a period."""
        given = request.query_params.get("days", "")
        days = int(given) if given in map(str, PERIODS) else USUAL
        figures = await pages.parts.figures.of(days)
        unsent = await pages.parts.store.database.read(troubles)
        return await pages.page(
            request,
            "overview.html",
            person=person_of(request),
            days=days,
            periods=PERIODS,
            figures=figures,
            unsent=unsent,
            tiles=tiles_of(figures),
            charts=charts_of(figures),
        )
