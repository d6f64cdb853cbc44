"""Stops over HTTP: POST /stops, GET /stops and POST /stops/{id}/lift, for people and never for agents."""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Response
from pydantic import Field, model_validator

from atlas.models import Frozen, Scope, Stop
from atlas.people.person import Person
from atlas.people.programs.known_first import known_first
from atlas.people.visitors import Visitors
from atlas.stop.stops import LONGEST_REASON, Stops

STOPS_PATH = "/stops"
LONGEST_TARGET = 200

Reason = Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]


class StopRequest(Frozen):
    """What a person stops, and why."""

    scope: Scope
    target: Annotated[str, Field(max_length=LONGEST_TARGET)] = ""
    reason: Reason
    even_if_unknown: bool = False

    @model_validator(mode="after")
    def _everything_has_no_name(self) -> "StopRequest":
        """A person who names something means this alone."""
        if self.scope is Scope.EVERYTHING and self.target:
            raise ValueError("everything has no target; nothing was stopped")
        return self


class LiftRequest(Frozen):
    """Why a person lifts a stop."""

    reason: Reason


class StopList(Frozen):
    """What is stopped, the oldest first, and the newest stops with those that were lifted."""

    in_force: tuple[Stop, ...]
    newest: tuple[Stop, ...]


def add_stops(app: FastAPI, *, stops: Stops, visitors: Visitors) -> None:
    """Serve the stops."""
    router = APIRouter(route_class=known_first(visitors.person_of), tags=["people"])
    Visitor = Annotated[Person, Depends(visitors.person_of)]

    @router.post(STOPS_PATH)
    async def stop(request: StopRequest, person: Visitor, response: Response) -> Stop:
        """Stop something; 201 if it was not stopped, 200 with the stop in force if it was."""
        before = {one.stop_id for one in await stops.in_force()}
        made = await stops.stop(
            request.scope,
            request.target,
            reason=request.reason,
            person_name=person.name,
            even_if_unknown=request.even_if_unknown,
        )
        response.status_code = 200 if made.stop_id in before else 201
        return made

    @router.get(STOPS_PATH)
    async def listed(person: Visitor) -> StopList:
        """What is stopped, and what was."""
        return StopList(in_force=await stops.in_force(), newest=await stops.newest())

    @router.post(f"{STOPS_PATH}/{{stop_id}}/lift")
    async def lift(stop_id: str, request: LiftRequest, person: Visitor) -> Stop:
        """Lift a stop; one that was lifted before stays as it is."""
        return await stops.lift(stop_id, reason=request.reason, person_name=person.name)

    app.router.routes.extend(router.routes)
