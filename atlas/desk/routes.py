"""The routes of the desk: they know who asks before anything is read, and tell errors as pages.

A form is taken only from a page of this very session.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from atlas.database.failures import as_told_of_request
from atlas.desk.pages import DESK, Pages
from atlas.desk.people_form import SHOWN as SHOWN_BEFORE
from atlas.desk.places import place_of
from atlas.desk.whose_page import ANOTHER, is_of_another, load_again
from atlas.errors import AtlasError, FormRefused, NotAuthenticated
from atlas.operate.error_shape import HTTP_STATUS
from atlas.people.cookies import keep
from atlas.people.own_page import require_own_page
from atlas.people.person import Person
from atlas.people.visitors import SAFE, is_automatic

LOG = logging.getLogger(__name__)
SHOWN = (AtlasError, SQLAlchemyError, HTTPException, RequestValidationError)  # as a page, not as JSON
FAILED = "The gateway has a fault and cannot show this. Nothing was done. Its log says why."
FAILED_FORM = (
    "The gateway has a fault. It is not known whether this was recorded: load the page again and look. "
    "The log says why."
)
SIGN_IN = f"{DESK}/sign-in"


def person_of(request: Request) -> Person:
    """The person who asks, as the route found out."""
    person: Person = request.state.person
    return person


Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Guard = Callable[[Request, Handler], Coroutine[Any, Any, Response]]


def desk_route(pages: Pages) -> type[APIRoute]:
    """A route that lets only people in."""

    async def known(request: Request, handle: Handler) -> Response:
        visitors = pages.parts.visitors
        request.state.person = await visitors.person_of(request)
        is_strange = is_of_another(request)
        if request.method not in SAFE:
            if is_strange:
                raise FormRefused(reason=ANOTHER)
            await visitors.require_form(request)
        begun = await visitors.begin_unasked(request)
        answer = load_again() if is_strange else await handle(request)
        if begun is not None:
            keep(request, answer, begun)
        return answer

    return _route(pages, known)


def strangers_route(pages: Pages) -> type[APIRoute]:
    """A route for those who are not signed in: it takes forms from pages of the desk alone."""

    async def anyone(request: Request, handle: Handler) -> Response:
        if request.method not in SAFE:
            require_own_page(request)
        return await handle(request)

    return _route(pages, anyone)


def _route(
    pages: Pages, guard: Callable[[Request, Handler], Coroutine[Any, Any, Response]]
) -> type[APIRoute]:
    class DeskRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                request.state.person = request.state.session = None
                try:
                    return await guard(request, handle)
                except NotAuthenticated:
                    return await _to_sign_in(request, pages)
                except FormRefused as error:
                    return await _refused_form(request, pages, error)
                except SHOWN as error:
                    return await _error_page(request, pages, error)
                except Exception as error:  # a fault of ours: the log has it, and a page tells of it
                    LOG.exception("A page of the desk failed.")
                    return await _error_page(request, pages, error)

            return guarded

    return DeskRoute


async def _to_sign_in(request: Request, pages: Pages) -> Response:
    """Send a browser to the page of sign-in, and from there back; htmx goes there as a whole page."""
    address = f"{pages.at(SIGN_IN)}?then={quote(place_of(request, pages.root_path), safe='/')}"
    if "HX-Request" in request.headers or is_automatic(request):
        sent = "" if request.method in SAFE else "&sent=1"  # a form, which was not taken
        return Response(status_code=401, headers={"HX-Redirect": address + sent})
    if request.method in SAFE:
        return RedirectResponse(address, status_code=303)
    said = "Your session has ended. Nothing was done."
    written = await _written(request)
    return await pages.page(
        request, "form_refused.html", person=None, status=401, said=said, written=written, sign_in=address
    )


async def _refused_form(request: Request, pages: Pages, error: FormRefused) -> Response:
    """Say what to do, and show what was written, if it was written on a page of ours."""
    if "HX-Request" in request.headers:  # the page with the form is still there, and keeps what was written
        return await _beside(request, pages, str(error), status=HTTP_STATUS[FormRefused])
    return await pages.page(
        request,
        "form_refused.html",
        person=request.state.person,
        status=HTTP_STATUS[FormRefused],
        said=str(error),
        written=await _written(request),
        sign_in=None,
    )


async def _written(request: Request) -> list[tuple[str, str]]:
    """The texts of a form, so that none is lost."""
    try:
        require_own_page(request)
    except FormRefused:
        return []
    fields = (await request.form()).multi_items()
    hidden = ("form_token", "password", "again", "key", "code")
    texts = [(name, text) for name, text in fields if isinstance(text, str) and text and name not in hidden]
    return [(name, text) for name, text in texts if not name.startswith(SHOWN_BEFORE)]


async def _error_page(request: Request, pages: Pages, error: Exception) -> Response:
    if isinstance(error, AtlasError):
        status, said = HTTP_STATUS.get(type(error), 500), error.said_at_desk
    elif isinstance(error, HTTPException):
        status, said = error.status_code, str(error.detail)
    elif isinstance(error, RequestValidationError):
        status, said = 422, "The form or the address holds a value that this page does not take."
    elif isinstance(error, SQLAlchemyError):
        status, said = 503, str(as_told_of_request(error, is_reading=request.method in SAFE))
    else:
        status, said = 500, FAILED if request.method in SAFE else FAILED_FORM
    if "HX-Request" in request.headers:
        return await _beside(request, pages, said, status=status)
    return await pages.page(request, "error.html", person=request.state.person, status=status, said=said)


async def _beside(request: Request, pages: Pages, said: str, *, status: int) -> Response:
    """Tell htmx what was not done; the page from which it asked stays."""
    answer = await pages.page(
        request, "error_part.html", person=request.state.person, status=status, said=said
    )
    answer.headers.update({"HX-Retarget": "#answer", "HX-Reswap": "innerHTML"})
    return answer
