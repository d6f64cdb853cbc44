"""Many decisions of people come in here: POST /webhook/approvals, with one result for each."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header
from pydantic import Field

from atlas.errors import AlreadyDecided
from atlas.frozen import Frozen
from atlas.models import Verdict
from atlas.operate.error_shape import HTTP_STATUS
from atlas.people.deciding import Approvals
from atlas.people.person import Person
from atlas.people.programs.known_first import known_first
from atlas.people.programs.together import MOST_TOGETHER, OneOfMany, Result, Together
from atlas.people.programs.webhook import APPROVAL_PATH, LONGEST_KEY, OneCase
from atlas.people.reviewers import ReviewerGate
from atlas.people.systems.gate import signature

APPROVALS_PATH = f"{APPROVAL_PATH}s"


class DecisionOfMany(OneCase):
    """A decision as the single one is, without what takes a look at one call alone."""

    decision: Verdict


class ManyRequest(Frozen):
    """What a reviewer posts; each decision is taken for itself."""

    decisions: Annotated[tuple[DecisionOfMany, ...], Field(min_length=1, max_length=MOST_TOGETHER)]


class OneResult(Frozen):
    """What became of one: the status and the error are those that the single decision would have had."""

    event_id: str
    decision: Verdict
    status: int
    error: str | None = None
    detail: str | None = None
    approvals: Approvals | None = None  # while the approval waits for more of them
    revealed: str | None = None  # that the case was seeded, and what is wrong with it


class ManyResults(Frozen):
    """One result a decision, in the same order."""

    results: tuple[OneResult, ...]


def add_many(app: FastAPI, *, gate: ReviewerGate, together: Together) -> None:
    """Serve many decisions in one request."""
    router = APIRouter(route_class=known_first(gate), tags=["people"])

    @router.post(APPROVALS_PATH, response_model_exclude_none=True)
    async def approvals(
        request: ManyRequest,
        named: Annotated[str | None, Depends(gate)],
        idempotency_key: Annotated[
            str | None, Header(alias="Idempotency-Key", min_length=1, max_length=LONGEST_KEY)
        ] = None,
    ) -> ManyResults:
        """Record many decisions; what one refuses keeps no other back."""
        claimed = {one.reviewer for one in request.decisions}
        names = {signature(named, name) for name in claimed}
        by_name: dict[str, list[Result]] = {}
        for name in sorted(names):
            person = Person(name=name, way=gate.way, is_signed=named is not None)
            theirs = [one for one in request.decisions if signature(named, one.reviewer) == name]
            by_name[name] = await together.decide(person, [_said(one, idempotency_key) for one in theirs])
        return ManyResults(
            results=tuple(told(by_name[signature(named, one.reviewer)].pop(0)) for one in request.decisions)
        )

    app.router.routes.extend(router.routes)


def _said(one: DecisionOfMany, key: str | None) -> OneOfMany:
    return OneOfMany(
        case_id=one.event_id,
        verdict=one.decision,
        reason=one.reason,
        round_number=one.round or 1,
        seen_sha256=one.seen_sha256,
        on_behalf_of=one.on_behalf_of,
        # The key of a request stands for each of its decisions.
        idempotency_key=one.idempotency_key or (f"{key}:{one.event_id}"[-LONGEST_KEY:] if key else None),
    )


def told(result: Result) -> OneResult:
    """A result as JSON has it."""
    said: dict[str, Any] = {"event_id": result.case_id, "decision": result.verdict}
    error = result.error
    if error is None:
        receipt = result.receipt
        more = {"approvals": receipt.approvals, "revealed": receipt.revealed} if receipt else {}
        return OneResult(**said, status=200, **more)
    # The same by another one: a program that asks for it has it.
    status = 200 if isinstance(error, AlreadyDecided) else HTTP_STATUS.get(type(error), 500)
    return OneResult(**said, status=status, error=type(error).__name__, detail=str(error))
