"""Claims, assignments and "not now" over HTTP: POST /cases/{ref}/claim, /assign and /snooze."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from pydantic import AwareDatetime, Field
from sqlalchemy.engine import Connection

from atlas.database.database import Database
from atlas.errors import PersonRefused
from atlas.frozen import Frozen
from atlas.people.accounts.signing_in import SARAH
from atlas.people.person import Person
from atlas.people.programs.known_first import known_first
from atlas.people.records.profiles import has_ended, profile_of
from atlas.people.supervisors import require_supervisor
from atlas.people.visitors import Visitors
from atlas.reviews import claims
from atlas.settings import Settings

CASE_PATH = "/cases/{ref}"


class ClaimRequest(Frozen):
    """Whether a case is taken, or given back."""

    release: bool = False


class AssignRequest(Frozen):
    """To whom."""

    person: Annotated[str, Field(min_length=1, max_length=200)]


class SnoozeRequest(Frozen):
    """Until when; null brings the case back."""

    until: AwareDatetime | None


class ClaimTold(Frozen):
    """Who has the case now."""

    case_id: str
    claim: claims.Claim | None


def add_taking(app: FastAPI, *, settings: Settings, visitors: Visitors, database: Database) -> None:
    """Serve who takes a case, for people and never for agents."""
    router = APIRouter(route_class=known_first(visitors.person_of), tags=["people"])
    Visitor = Annotated[Person, Depends(visitors.person_of)]

    @router.post(f"{CASE_PATH}/claim")
    async def claim(ref: str, request: ClaimRequest, person: Visitor) -> ClaimTold:
        """Take a case for five minutes, take it for five more, or give it back."""
        if request.release:
            await database.write(partial(claims.release, case_id=ref[:100], person=person.name))
            return ClaimTold(case_id=ref, claim=None)
        made = await database.write(partial(claims.claim, case_id=ref[:100], person=person.name))
        return ClaimTold(case_id=ref, claim=made)

    @router.post(f"{CASE_PATH}/assign")
    async def assign(ref: str, request: AssignRequest, person: Visitor) -> claims.Assignment:
        """Give a case to a person; for supervisors."""
        work = partial(assign_by, case_id=ref[:100], settings=settings, by=person, to=request.person)
        return await database.write(work)

    @router.post(f"{CASE_PATH}/snooze")
    async def snooze(ref: str, request: SnoozeRequest, person: Visitor) -> claims.Aside:
        """Put a case aside for oneself."""
        work = partial(claims.put_aside, case_id=ref[:100], person=person.name, until=request.until)
        return await database.write(work)

    app.router.routes.extend(router.routes)


def assign_by(
    connection: Connection, case_id: str, *, settings: Settings, by: Person, to: str
) -> claims.Assignment:
    """Give a case to a person who is known; raises NotPermitted and PersonRefused."""
    require_supervisor(connection, settings, by)
    if not _is_known(connection, settings, to):
        raise PersonRefused(reason=f"There is no person {to}. Nothing was assigned.")
    return claims.assign(connection, case_id, to=to, by=by.name)


def _is_known(connection: Connection, settings: Settings, name: str) -> bool:
    """Whether a person of that very name can come in."""
    is_known = name in settings.reviewers or profile_of(connection, name).is_there
    is_only_one = settings.is_open and name == SARAH
    return (is_known or is_only_one) and not has_ended(connection, name)
