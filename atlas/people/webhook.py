"""What people decide comes in here: POST /webhook/approval."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, Field

from atlas.errors import (
    NotPermitted,
)
from atlas.models import Case, Frozen, Verdict, plain_text
from atlas.people.votes import Vote


def visible(name: str) -> str:
    """A name that reads as it is written: two reviewers must not look like one in the ledger."""
    if plain_text(name) != name or name != name.strip():
        raise ValueError("a name has no control or invisible characters and no blanks around it")
    return name


APPROVAL_PATH = "/webhook/approval"


class Decides(Protocol):
    """What takes the decisions of people."""

    async def record(self, case_id: str, vote: Vote) -> Case:
        """Record a decision, or one of the approvals that together are one."""

    async def approvals_of(self, case: Case) -> int:
        """How many reviewers have approved a case so far."""


class DecisionRequest(Frozen):
    """What a reviewer posts."""

    decision: Verdict
    event_id: Annotated[str, Field(min_length=1, max_length=40)]
    reviewer: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(visible)] | None = None
    reason: Annotated[str, Field(max_length=4000), AfterValidator(plain_text)] | None = None
    # Which round of the case is approved, if it was judged more than once; without it, the first.
    round: Annotated[int, Field(ge=1)] | None = None


class Approvals(Frozen):
    """How many reviewers have approved a call, and how many have to."""

    given: int
    needed: int


class DecisionReceipt(Frozen):
    """What the reviewer gets back: the decision is on disk, or one of the approvals that make one."""

    status: str = "Signal Sent"
    decision: Verdict
    event_id: str
    approvals: Approvals | None = None


WAITS_FOR_MORE = "Approval Recorded, Further Approvals Needed"


def add_webhook(
    app: FastAPI,
    *,
    gate: Callable[[Request], Awaitable[str | None]],
    decisions: Decides,
    announce: Callable[[Case], None],
) -> None:
    """Serve the human decision."""
    router = APIRouter(route_class=known_first(gate))

    @router.post(APPROVAL_PATH, response_model_exclude_none=True)
    async def approval(
        request: DecisionRequest, named: Annotated[str | None, Depends(gate)]
    ) -> DecisionReceipt:
        """Record a decision and wake the workflow."""
        vote = Vote(
            request.decision,
            reviewer=signature(named, request.reviewer),
            reason=request.reason,
            is_signed=named is not None,
            round_number=request.round or 1,
        )
        case = await decisions.record(request.event_id, vote)
        is_one_of_several = request.decision is Verdict.APPROVED and case.decision is None
        if is_one_of_several and case.assessment is not None:
            return DecisionReceipt(
                status=WAITS_FOR_MORE,
                decision=request.decision,
                event_id=request.event_id,
                approvals=Approvals(
                    given=await decisions.approvals_of(case), needed=case.assessment.approvals
                ),
            )
        if case.reported_at is None:
            announce(case)
        return DecisionReceipt(decision=request.decision, event_id=request.event_id)

    app.router.routes.extend(router.routes)


def known_first(gate: Callable[[Request], Awaitable[object]]) -> type[APIRoute]:
    """A route that knows who asks before it reads the body, which FastAPI reads before it asks."""

    class KnownFirst(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def known(request: Request) -> Response:
                await gate(request)
                return await handle(request)

            return known

    return KnownFirst


def signature(named: str | None, claimed: str | None) -> str:
    """Who decides: the name that the key has; where it has none, the name in the request."""
    if named is None:
        return claimed or "Sarah"
    if claimed not in (None, named):
        raise NotPermitted(reason=f"This is the key of {named}; it cannot sign for {claimed}.")
    return named
