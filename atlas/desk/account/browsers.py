"""The forms of the browsers in which a person is called: add this one, end one."""

from functools import partial

from fastapi import APIRouter, Request, Response

from atlas.desk.account.page import ACCOUNT
from atlas.desk.pages import Pages
from atlas.desk.routes import person_of
from atlas.errors import NotPermitted
from atlas.outbox.subscriptions import end_subscription, subscribe

BROWSERS = f"{ACCOUNT}/browsers"
UNCHECKED = "Your name is not checked, so that no one knows whom to call. Sign in with a name of your own."


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the forms."""
    database = pages.parts.store.database
    services = pages.parts.settings.atlas_push_services

    @router.post(BROWSERS)
    async def add(request: Request) -> Response:
        """Call the person in this browser from now on."""
        person, said = person_of(request), (await request.form()).get("subscription")
        if not person.is_signed:
            raise NotPermitted(reason=UNCHECKED)
        text = said if isinstance(said, str) else ""
        await database.write(partial(subscribe, person=person.name, said=text, services=services))
        return pages.redirect(f"{ACCOUNT}#browsers")

    @router.post(f"{BROWSERS}/end")
    async def end(request: Request) -> Response:
        """Call the person in a browser no more."""
        digest = (await request.form()).get("endpoint_sha256")
        name = person_of(request).name
        if isinstance(digest, str):
            await database.write(partial(end_subscription, digest=digest, person=name))
        return pages.redirect(f"{ACCOUNT}#browsers")
