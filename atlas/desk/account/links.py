"""The pages of links that work once: opening one does nothing, its button does.

The code stands behind `#`, which no browser sends: our script puts it into the form, and without JavaScript a
person pastes it.
"""

from fastapi import APIRouter, Request, Response

from atlas.desk.account.sign_in import texts_of
from atlas.desk.pages import DESK, Pages
from atlas.errors import AtlasError, LinkVoid, NotPermitted, PersonRefused, SignInRefused
from atlas.people.accounts.links import Kind
from atlas.people.accounts.passwords import SHORTEST

MISTAKES = (LinkVoid, SignInRefused, NotPermitted, PersonRefused)


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve both pages, to those who are not signed in."""
    _add_enter(router, pages)
    _add_password(router, pages)


def _add_enter(router: APIRouter, pages: Pages) -> None:
    visitors = pages.parts.visitors

    @router.get(f"{DESK}/enter")
    async def enter(request: Request) -> Response:
        """Show a button."""
        return pages.redirect(DESK) if visitors.is_open else await _page(request, pages, Kind.ENTER)

    @router.post(f"{DESK}/enter")
    async def enters(request: Request) -> Response:
        """Sign in the owner."""
        if visitors.is_open:
            return pages.redirect(DESK)
        try:
            person, bound_to = await visitors.signing_in.by_link(await _code_of(request))
        except MISTAKES as error:
            return await _page(request, pages, Kind.ENTER, mistake=error)
        return await pages.signed_in(request, person, DESK, bound_to=bound_to)


def _add_password(router: APIRouter, pages: Pages) -> None:
    visitors = pages.parts.visitors

    @router.get(f"{DESK}/password")
    async def password(request: Request) -> Response:
        """Ask for a password."""
        return pages.redirect(DESK) if visitors.is_open else await _page(request, pages, Kind.PASSWORD)

    @router.post(f"{DESK}/password")
    async def sets_password(request: Request) -> Response:
        """Set the password and sign in."""
        if visitors.is_open:
            return pages.redirect(DESK)
        code, given = await _code_of(request), (await texts_of(request)).get("password", "")
        try:
            person = await visitors.signing_in.by_first_password(code, given)
        except MISTAKES as error:
            return await _page(request, pages, Kind.PASSWORD, code=code, mistake=error)
        return await pages.signed_in(request, person, DESK)


async def _code_of(request: Request) -> str:
    """The code of a link: alone, or the whole link where a person pasted that; behind a dot stands a name."""
    return (await texts_of(request)).get("code", "").rpartition("#")[2].partition(".")[0].strip()


async def _page(
    request: Request, pages: Pages, kind: Kind, *, code: str = "", mistake: AtlasError | None = None
) -> Response:
    is_of_password = isinstance(mistake, (SignInRefused, NotPermitted))
    return await pages.page(
        request,
        f"{kind.value}.html",
        person=None,
        status=403 if mistake else 200,
        code=code if is_of_password else "",
        shortest=SHORTEST,
        mistake=str(mistake) if mistake else None,
        is_of_password=is_of_password,
    )
