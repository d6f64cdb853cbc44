"""Plans over HTTP: POST /plans, GET /plans and POST /plans/{id}/stop, for people and never for agents."""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from pydantic import AwareDatetime, Field

from atlas.frozen import Frozen
from atlas.people.person import Person
from atlas.people.programs.known_first import known_first
from atlas.people.visitors import Visitors
from atlas.plans.conditions import LONGEST_CONDITION
from atlas.plans.making import LONGEST_REASON, MOST_CALLS, PlanBook, Standing, Wish
from atlas.plans.plan import Plan

PLANS_PATH = "/plans"

Name = Annotated[str, Field(min_length=1, max_length=200)]


class PlanRequest(Frozen):
    """What a person approves beforehand."""

    tool: Name
    agent: Name | None = None  # without it, every agent
    condition: Annotated[str, Field(min_length=1, max_length=LONGEST_CONDITION)] | None = None
    most_calls: Annotated[int, Field(ge=1, le=MOST_CALLS)]
    ends_at: AwareDatetime
    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]


class PlanList(Frozen):
    """The plans, first those that are neither stopped nor over, the newest first."""

    plans: tuple[Standing, ...]


def add_plans(app: FastAPI, *, book: PlanBook, visitors: Visitors) -> None:
    """Serve the plans."""
    router = APIRouter(route_class=known_first(visitors.person_of), tags=["people"])
    Visitor = Annotated[Person, Depends(visitors.person_of)]

    @router.post(PLANS_PATH, status_code=201)
    async def make(request: PlanRequest, person: Visitor) -> Plan:
        """Approve a bounded set of calls beforehand."""
        return await book.make(person, Wish(**request.model_dump()))

    @router.get(PLANS_PATH)
    async def listed(person: Visitor) -> PlanList:
        """The plans, what is used up of them, and which calls passed."""
        return PlanList(plans=await book.newest())

    @router.post(f"{PLANS_PATH}/{{plan_id}}/stop")
    async def stop(plan_id: str, person: Visitor) -> Plan:
        """Stop a plan; one that was stopped before stays as it is."""
        return await book.stop(plan_id[:40], person)

    app.router.routes.extend(router.routes)
