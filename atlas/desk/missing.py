"""What stands under /desk and is no page of the desk: browsers get a page that says so, scripts get JSON."""

from fastapi import HTTPException, Request, Response
from starlette.routing import Router

from atlas.desk.pages import DESK, Pages
from atlas.errors import AtlasError
from atlas.operate.accept import wants_page
from atlas.people.person import Person


def add_to(router: Router, pages: Pages) -> None:
    """Answer for every path under /desk that no other route has taken."""

    async def missing(request: Request) -> Response:
        if not wants_page(request.headers.get("accept", "")):
            raise HTTPException(404)
        return await pages.page(request, "missing.html", person=await _person_of(request, pages), status=404)

    router.add_route(f"{DESK}/{{rest:path}}", missing, include_in_schema=False)


async def _person_of(request: Request, pages: Pages) -> Person | None:
    """The person who asks, if it is known: the page says nothing that a stranger may not read."""
    try:
        return await pages.parts.visitors.person_of(request)
    except AtlasError:
        return None
