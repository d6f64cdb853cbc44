"""On the page of a case: who has taken it, to whom it was given, and "not now"."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from fastapi import Request, Response
from sqlalchemy.engine import Connection

from atlas.cases.tables import cases
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.errors import AtlasError, CaseNotFound, ClaimedByAnother, NotNow, NotPermitted, PersonRefused
from atlas.instants import now
from atlas.models import Case, Status
from atlas.operate.error_shape import HTTP_STATUS
from atlas.people.person import Person
from atlas.people.programs.taking import assign_by
from atlas.people.supervisors import is_supervisor
from atlas.reviews.claims import (
    Assignment,
    Claim,
    aside_of,
    assignment_of,
    claim,
    claim_of,
    latest_return,
    put_aside,
    release,
)
from atlas.settings import Settings

__all__ = ["Taking", "has_taken", "read_taking"]
NOT_NOW = {
    "15m": ("15 minutes", timedelta(minutes=15)),
    "1h": ("1 hour", timedelta(hours=1)),
    "4h": ("4 hours", timedelta(hours=4)),
    "1d": ("1 day", timedelta(days=1)),
}
REFUSED = (ClaimedByAnother, NotNow, NotPermitted, PersonRefused)


@dataclass(frozen=True)
class Taken:
    """What the page says of it."""

    waits: bool
    claim: Claim | None
    assignment: Assignment | None
    aside_until: datetime | None
    can_assign: bool
    lasts: dict[str, str]  # for how long it can be put aside still


def read_taking(connection: Connection, *, case: Case, person: Person, settings: Settings) -> Taken:
    """Who has taken a case, and what this person can do about it."""
    left = latest_return(case) - now()
    return Taken(
        waits=case.status is Status.PENDING_REVIEW and case.decision is None,
        claim=claim_of(connection, case.case_id),
        assignment=assignment_of(connection, case.case_id),
        aside_until=aside_of(connection, person.name).get(case.case_id),
        can_assign=is_supervisor(connection, settings, person),
        lasts={key: words for key, (words, span) in NOT_NOW.items() if span < left},
    )


def has_taken(connection: Connection, *, case_id: str, person: str) -> bool:
    """Whether this person has the case now; raises CaseNotFound."""
    if connection.scalar(sa.select(cases.c.case_id).where(cases.c.case_id == case_id)) is None:
        raise CaseNotFound(case_id=case_id)
    held = claim_of(connection, case_id)
    return held is not None and held.person == person


class Taking:
    """Takes the forms, and shows the page again with what became of them."""

    def __init__(self, pages: Pages, show: Callable[..., Awaitable[Response]]) -> None:
        self._pages = pages
        self._show = show

    async def take(self, request: Request, ref: str) -> Response:
        """Take the case, or give it back."""
        work = release if (await request.form()).get("release") else claim
        return await self._do(request, ref, partial(work, case_id=ref, person=person_of(request).name))

    async def give(self, request: Request, ref: str) -> Response:
        """Give the case to a person."""
        to, settings = str((await request.form()).get("person", "")).strip(), self._pages.parts.settings
        work = partial(assign_by, case_id=ref, settings=settings, by=person_of(request), to=to)
        return await self._do(request, ref, work)

    async def put_aside(self, request: Request, ref: str) -> Response:
        """Put the case aside, which leads back to the inbox, or bring it back."""
        lasts = str((await request.form()).get("lasts", ""))
        until = now() + NOT_NOW[lasts][1] if lasts in NOT_NOW else None
        work = partial(put_aside, case_id=ref, person=person_of(request).name, until=until)
        return await self._do(request, ref, work, then=DESK if until else None)

    async def _do(
        self, request: Request, ref: str, work: Callable[[Connection], object], *, then: str | None = None
    ) -> Response:
        database, looking = self._pages.parts.store.database, self._pages.parts.looking
        try:
            await database.write(work)
        except AtlasError as error:
            if not isinstance(error, REFUSED):
                raise
            status = HTTP_STATUS.get(type(error), 500)
            return await self._show(request, ref, status=status, mistake=str(error))
        looking.changed(ref)  # so that open lists and pages ask for it again
        return self._pages.redirect(then or f"{DESK}/cases/{ref}")
