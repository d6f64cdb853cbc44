"""The page of a person's own account: how they came in, and where they are signed in."""

from functools import partial

from fastapi import APIRouter, Request, Response

from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.desk.sign_in import SIGN_IN
from atlas.people.cookies import forget
from atlas.people.passkeys.keys import passkeys_of
from atlas.people.sessions import Session

ACCOUNT = f"{DESK}/account"
WAYS = {
    "open": "without a sign-in, because no keys are set",
    "key": "with a reviewer's key",
    "account": "with an account and its password",
    "link": "with the link that ./setup.sh printed",
    "oidc": "with a provider of identities",
    "proxy": "through a proxy that is trusted",
}


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page, and its button."""
    sessions = pages.parts.visitors.sessions

    @router.get(ACCOUNT)
    async def account(request: Request) -> Response:
        """Who I am here, and my sessions."""
        person, here = person_of(request), request.state.session
        mine = await sessions.of(person)
        keys = await pages.parts.store.database.read(partial(passkeys_of, person=person.name))
        return await pages.page(
            request,
            "account.html",
            person=person,
            sessions=mine,
            here=_digest(here),
            ways=WAYS,
            mine=keys,
            can_confirm=any(one.counts for one in keys),
        )

    @router.post(f"{ACCOUNT}/end-sessions")
    async def end_sessions(request: Request) -> Response:
        """End all sessions of this person, this one too."""
        await sessions.end_all_of(person_of(request))
        answer = pages.redirect(f"{SIGN_IN}?out=1")
        forget(request, answer)
        return answer


def _digest(session: Session | None) -> str | None:
    return session.session_sha256 if session else None
