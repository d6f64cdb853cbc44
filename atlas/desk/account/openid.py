"""The way to the OpenID provider and back."""

import logging
import re

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from atlas.desk.account.sign_in import SIGN_IN
from atlas.desk.pages import DESK, Pages
from atlas.desk.places import safe_place
from atlas.errors import AtlasError, NotPermitted, ProviderUnusable
from atlas.people.cookies import name_of
from atlas.people.openid.sign_in import OpenId
from atlas.people.openid.tickets import LASTS_SECONDS
from atlas.people.person import Person, Way
from atlas.people.reviewers import bearer_of

START, CALLBACK = f"{DESK}/oidc/start", f"{DESK}/oidc/callback"
STATE = re.compile(r"[0-9a-f]{64}")
MOST_TICKETS = 5  # of one browser: a person may open several tabs

logger = logging.getLogger(__name__)


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve both, to those who are not signed in; without a provider they lead to the other ways."""
    openid = pages.parts.visitors.openid

    @router.get(START)
    async def start(request: Request) -> Response:
        """Send the browser to the provider, with a ticket for the way back."""
        if openid is None:
            return pages.redirect(SIGN_IN)
        then = safe_place(request.query_params.get("then"))
        try:
            pages.parts.visitors.refuse_agent(bearer_of(request))
            address, kept, ticket = await openid.begin(then, _redirect_uri(request, pages))
        except (NotPermitted, ProviderUnusable) as error:
            return await _failed(request, pages, error)
        answer = RedirectResponse(address, status_code=303)
        _forget_many(request, answer)
        _keep(request, answer, ticket.state, kept)
        return answer

    @router.get(CALLBACK)
    async def callback(request: Request) -> Response:
        """Sign in the person who came back."""
        if openid is None:
            return pages.redirect(SIGN_IN)
        state = request.query_params.get("state", "")
        try:
            answer = await _signed_in(request, pages, openid, state)
        except (NotPermitted, ProviderUnusable) as error:
            answer = await _failed(request, pages, error)
        if STATE.fullmatch(state):
            _forget(request, answer, _ticket_name(request, state))
        return answer


async def _signed_in(request: Request, pages: Pages, openid: OpenId, state: str) -> Response:
    visitors = pages.parts.visitors
    visitors.refuse_agent(bearer_of(request))
    kept = request.cookies.get(_ticket_name(request, state), "")
    said = request.query_params.multi_items()
    known = await openid.finish(said, kept, _redirect_uri(request, pages))
    person = Person(name=known.name, groups=known.groups, way=Way.OIDC)
    person = await visitors.identities.admitted(person, known.subject)
    return await pages.signed_in(request, person, known.then, bound_to=openid.bound_to)


async def _failed(request: Request, pages: Pages, error: AtlasError) -> Response:
    logger.warning("A sign-in at the OpenID provider failed: %s", error)
    status = 502 if isinstance(error, ProviderUnusable) else 403
    return await pages.page(request, "openid_failed.html", person=None, status=status, said=str(error))


def _redirect_uri(request: Request, pages: Pages) -> str:
    """Where the provider sends the browser back to: the host that AddressGuard let through."""
    return f"{request.url.scheme}://{request.headers['host']}{pages.at(CALLBACK)}"


def _prefix(request: Request) -> str:
    return f"{name_of(request)}-openid-"


def _ticket_name(request: Request, state: str) -> str:
    return f"{_prefix(request)}{state[:8]}"


def _keep(request: Request, answer: Response, state: str, kept: str) -> None:
    # Lax, because the browser comes back from another site; and of no use in another browser.
    name = _ticket_name(request, state)
    answer.set_cookie(
        name, kept, max_age=LASTS_SECONDS, path="/", secure=_is_over_tls(name), httponly=True, samesite="lax"
    )


def _forget_many(request: Request, answer: Response) -> None:
    tickets = [name for name in request.cookies if name.startswith(_prefix(request))]
    for name in tickets if len(tickets) >= MOST_TICKETS else ():
        _forget(request, answer, name)


def _forget(request: Request, answer: Response, name: str) -> None:
    if name in request.cookies:
        answer.delete_cookie(name, path="/", secure=_is_over_tls(name), httponly=True, samesite="lax")


def _is_over_tls(name: str) -> bool:
    return name.startswith("__Host-")
