"""The routes of the desk: they know who asks before anything is read, and tell errors as pages."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from atlas.desk.pages import DESK, Pages
from atlas.errors import AtlasError, NotAuthenticated
from atlas.operate.error_shape import HTTP_STATUS
from atlas.people.person import Person

SHOWN = (AtlasError, SQLAlchemyError, HTTPException, RequestValidationError)  # as a page, not as JSON
SIGN_IN = f"{DESK}/sign-in"


def person_of(request: Request) -> Person:
    """The person who asks, as the route found out."""
    person: Person = request.state.person
    return person


def desk_route(pages: Pages) -> type[APIRoute]:
    """A route that lets only people in."""

    class DeskRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def known(request: Request) -> Response:
                request.state.person = None
                try:
                    request.state.person = await pages.parts.visitors.person_of(request)
                    return await handle(request)
                except NotAuthenticated:
                    return _to_sign_in(request, pages)
                except SHOWN as error:
                    return await _error_page(request, pages, error)

            return known

    return DeskRoute


def _to_sign_in(request: Request, pages: Pages) -> Response:
    """Send a browser to the page of sign-in, and from there back; htmx goes there as a whole page."""
    path = request.url.path.removeprefix(pages.root_path)
    then = path if request.method == "GET" else DESK
    address = f"{pages.at(SIGN_IN)}?then={quote(then)}"
    if "HX-Request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": address})
    return RedirectResponse(address, status_code=303)


async def _error_page(request: Request, pages: Pages, error: Exception) -> Response:
    if isinstance(error, AtlasError):
        status, said = HTTP_STATUS.get(type(error), 500), str(error)
    elif isinstance(error, HTTPException):
        status, said = error.status_code, str(error.detail)
    elif isinstance(error, RequestValidationError):
        status, said = 422, "The form or the address holds a value that this page does not take."
    else:
        status, said = 503, "The case store cannot be read or written; nothing was changed."
    return await pages.page(request, "error.html", person=request.state.person, status=status, said=said)
