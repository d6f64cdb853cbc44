"""The forms of a person's passkeys on the page of their account: add, confirm, end."""

from functools import partial

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection
from starlette.datastructures import FormData
from starlette.responses import JSONResponse

from atlas.desk.account.page import ACCOUNT
from atlas.desk.pages import Pages
from atlas.desk.routes import person_of
from atlas.people.passkeys import asking, keys
from atlas.people.passkeys.ceremonies import origin_of

PASSKEYS = f"{ACCOUNT}/passkeys"


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the forms, and what the page's script asks before it sends one."""
    database = pages.parts.store.database

    @router.post(f"{PASSKEYS}/ask")
    async def ask(request: Request) -> Response:
        """What the browser makes, or signs with, a passkey."""
        form, person, origin = await request.form(), person_of(request), origin_of(request)
        if _text(form, "what") == "confirm":
            credential_id = _text(form, "credential_id")
            work = partial(asking.ask_to_confirm, person=person, credential_id=credential_id, origin=origin)
        else:
            work = partial(asking.ask_to_add, person=person, origin=origin)
        return JSONResponse(await database.write(work))

    @router.post(PASSKEYS)
    async def add(request: Request) -> Response:
        """Keep a new passkey, which does not count yet."""
        form = await request.form()
        credential, name = _text(form, "credential"), _text(form, "name")
        person = person_of(request)
        await database.write(partial(asking.take_added, person=person, credential=credential, name=name))
        return pages.redirect(f"{ACCOUNT}#passkeys")

    @router.post(f"{PASSKEYS}/confirm")
    async def confirm(request: Request) -> Response:
        """Let one count that a passkey of this person, which counts, has signed for."""
        form = await request.form()
        work = partial(
            asking.take_confirmed,
            person=person_of(request),
            credential=_text(form, "credential"),
            credential_id=_text(form, "credential_id"),
        )
        await database.write(work)
        return pages.redirect(f"{ACCOUNT}#passkeys")

    @router.post(f"{PASSKEYS}/end")
    async def end(request: Request) -> Response:
        """End one of this person."""
        form, name = await request.form(), person_of(request).name

        def ended(connection: Connection) -> None:
            passkey = keys.named(keys.passkeys_of(connection, name), _text(form, "credential_id"))
            keys.end(connection, passkey, actor=name)

        await database.write(ended)
        return pages.redirect(f"{ACCOUNT}#passkeys")


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""
