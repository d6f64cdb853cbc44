"""The inbox: what waits for a person."""

from fastapi import APIRouter, Request, Response

from atlas.cases.tables import cases
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.models import Status


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the inbox."""

    @router.get(DESK)
    async def inbox(request: Request) -> Response:
        """What waits."""
        waiting = await pages.parts.store.select(cases.c.status == Status.PENDING_REVIEW.value, limit=50)
        return await pages.page(request, "inbox.html", person=person_of(request), waiting=waiting)
