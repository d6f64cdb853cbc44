"""Makes the pages of the desk from their templates; everything in them is escaped."""

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import HTMLResponse, RedirectResponse

from atlas.desk.parts import Parts
from atlas.desk.places import DESK, safe_place
from atlas.desk.whose_page import mark_of
from atlas.models import Stop
from atlas.people.cookies import keep
from atlas.people.person import Person
from atlas.people.sessions import UNBOUND
from atlas.people.visitors import SAFE

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["DESK", "Pages"]
TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """Renders templates with what every page needs: the person, the token of forms, and the paths."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.root_path = parts.settings.atlas_root_path

    @cached_property
    def _templates(self) -> "Environment":
        # At the first page: a gateway whose desk stays shut does without it.
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        from atlas.desk import words

        templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.globals.update(at=self.at, mark_of=mark_of)
        templates.filters.update(words.FILTERS)
        return templates

    def at(self, path: str) -> str:
        """A path of ours as a browser asks for it, behind the path of a proxy."""
        return self.root_path + path

    async def page(
        self,
        request: Request,
        template: str,
        *,
        person: Person | None,
        status: int = 200,
        **values: Any,
    ) -> HTMLResponse:
        """A page, or the part of one that htmx asks for, as HTML; `person` is None before the sign-in."""
        token = await self.parts.visitors.form_token_of(request) if person else ""
        text = self._templates.get_template(template).render(
            person=person,
            form_token=token,
            is_answer=request.method not in SAFE,
            path=request.url.path.removeprefix(self.root_path),
            **({"stopped": await self._stopped(request) if person else ()} | values),
        )
        # Its script knows by the header that this is no error of what stands in between.
        return HTMLResponse(text, status_code=status, headers={"Desk-Page": "1"})

    async def _stopped(self, request: Request) -> tuple[Stop, ...]:
        """What is stopped, which every whole page says; one that tells of a broken store can do without."""
        if "HX-Request" in request.headers:
            return ()
        with suppress(SQLAlchemyError):
            return await self.parts.stops.in_force()
        return ()

    def redirect(self, path: str) -> RedirectResponse:
        """Send the browser on after a form was taken, with a GET."""
        return RedirectResponse(self.at(path), status_code=303)

    async def signed_in(
        self, request: Request, person: Person, then: object, *, bound_to: bytes = UNBOUND
    ) -> RedirectResponse:
        """Begin the session of a person who has shown who they are, in place of any before it."""
        session_id = await self.parts.visitors.begin(request, person, bound_to=bound_to)
        answer = self.redirect(safe_place(then))
        keep(request, answer, session_id)
        return answer
