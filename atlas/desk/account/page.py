"""The page of a person's own account: who they are here, who decides for them, and their sessions."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection
from starlette.datastructures import FormData

from atlas.desk.account.sign_in import SIGN_IN
from atlas.desk.pages import DESK, Pages
from atlas.desk.people_form import text_of
from atlas.desk.people_page import delegate_by_form, own_record
from atlas.desk.routes import person_of
from atlas.errors import PersonRefused
from atlas.operate.error_shape import HTTP_STATUS
from atlas.outbox.subscriptions import subscriptions_of
from atlas.outbox.vapid import PushKey
from atlas.people.cookies import forget
from atlas.people.passkeys.keys import passkeys_of
from atlas.people.person import Person
from atlas.people.records import delegations
from atlas.people.records.commands import in_words
from atlas.people.sessions import Session
from atlas.people.supervisors import is_supervisor
from atlas.settings import Settings

ACCOUNT = f"{DESK}/account"
NOT_CHECKED = "A name that is not checked lets no one decide for it. Sign in with a name of your own."
WAYS = {
    "open": "without a sign-in, because no keys are set",
    "key": "with a reviewer's key",
    "account": "with an account and its password",
    "link": "with the link that ./setup.sh printed",
    "oidc": "with a provider of identities",
    "proxy": "through a proxy that is trusted",
}


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page, and take its forms."""
    desk = _Account(pages)

    @router.get(ACCOUNT)
    async def account(request: Request) -> Response:
        """Who I am here, and my sessions."""
        return await desk.show(request)

    @router.post(f"{ACCOUNT}/delegate")
    async def delegate(request: Request) -> Response:
        """Let another person decide for me."""
        return await desk.take(request, _delegate)

    @router.post(f"{ACCOUNT}/undelegate")
    async def undelegate(request: Request) -> Response:
        """End a delegation of mine."""
        return await desk.take(request, _undelegate)

    @router.post(f"{ACCOUNT}/end-sessions")
    async def end_sessions(request: Request) -> Response:
        """End all sessions of this person, this one too."""
        await pages.parts.visitors.sessions.end_all_of(person_of(request))
        answer = pages.redirect(f"{SIGN_IN}?out=1")
        forget(request, answer)
        return answer


class _Account:
    """Shows what is known of the person who asks, and takes their delegations."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._database = pages.parts.store.database
        self._push_key = PushKey(pages.parts.settings.atlas_data_dir, self._database)

    async def show(
        self, request: Request, *, status: int = 200, mistake: str = "", written: dict[str, str] | None = None
    ) -> Response:
        """The page; `written` is a form that was not taken."""
        person, here = person_of(request), request.state.session
        await self._push_key.open()
        known = partial(_known, settings=self._pages.parts.settings, person=person)
        return await self._pages.page(
            request,
            "account.html",
            person=person,
            status=status,
            sessions=await self._pages.parts.visitors.sessions.of(person),
            here=_digest(here),
            ways=WAYS,
            push_key=self._push_key.public if person.is_signed else "",
            mistake=mistake,
            written=defaultdict(str, written or {}),
            **await self._database.read(known),
        )

    async def take(self, request: Request, work: Callable[[Connection, str, FormData], object]) -> Response:
        """Do what a form of a person whose name is checked asks for, or say what is wrong."""
        form, person = await request.form(), person_of(request)
        try:
            if not person.is_signed:
                raise PersonRefused(reason=NOT_CHECKED)
            await self._database.write(lambda connection: work(connection, person.name, form))
        except PersonRefused as error:
            written = {key: value for key, value in form.items() if isinstance(value, str)}
            status = HTTP_STATUS[PersonRefused]
            return await self.show(request, status=status, mistake=str(error), written=written)
        return self._pages.redirect(ACCOUNT)


def _delegate(connection: Connection, name: str, form: FormData) -> None:
    delegate_by_form(connection, name, form, actor=name)


def _undelegate(connection: Connection, name: str, form: FormData) -> None:
    delegations.end(connection, text_of(form, "delegation"), actor=name, only_of=name)


def _known(connection: Connection, *, settings: Settings, person: Person) -> dict[str, Any]:
    """What is known of the person, and whether they look after others."""
    return {
        "record": own_record(connection, settings, person),
        "is_supervisor": is_supervisor(connection, settings, person),
        "in_words": in_words,
        "mine": (keys := passkeys_of(connection, person=person.name)),
        "browsers": subscriptions_of(connection, person.name),
        "can_confirm": any(one.counts for one in keys),
    }


def _digest(session: Session | None) -> str | None:
    return session.session_sha256 if session else None
