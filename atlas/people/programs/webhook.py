"""What people decide comes in here: POST /webhook/approval."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header
from pydantic import AfterValidator, Field

from atlas.errors import AlreadyDecided, RequestInvalid
from atlas.models import LARGEST_ROUND, Frozen, Verdict, plain_text
from atlas.people.deciding import Approvals, Deciding, decide, take_back
from atlas.people.person import Person
from atlas.people.programs.known_first import known_first
from atlas.people.systems.gate import Caller, WebhookGate
from atlas.people.votes import TAKEN_BACK

Said = (
    Verdict | Literal["TAKEN_BACK", "INFORMATION_REQUESTED"]
)  # the last asks the agent, and decides nothing

APPROVAL_PATH = "/webhook/approval"
LONGEST_KEY = 200  # characters of an idempotency key


def visible(name: str) -> str:
    """A name that reads as it is written: two reviewers must not look like one in the ledger."""
    if plain_text(name) != name or name != name.strip():
        raise ValueError("a name has no control or invisible characters and no blanks around it")
    return name


class OneCase(Frozen):
    """What is said of one case, alone or among many."""

    event_id: Annotated[str, Field(min_length=1, max_length=40)]
    reviewer: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(visible)] | None = None
    reason: Annotated[str, Field(max_length=4000), AfterValidator(plain_text)] | None = None
    # Which round of the case is approved, if it was judged more than once; without it, the first.
    round: Annotated[int, Field(ge=1, le=LARGEST_ROUND)] | None = None
    # For whom an approval is given, by a delegation; without it, it is found out.
    on_behalf_of: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(visible)] | None = None
    # What is approved, as `GET /cases/{ref}` named it; an approval of something else is refused.
    seen_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    # The same decision under the same key is a success again, another one is refused.
    idempotency_key: Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)] | None = None


class DecisionRequest(OneCase):
    """What a reviewer posts."""

    decision: Said
    # The whole new arguments of an approval, where a rule lets a person change some.
    arguments: dict[str, Any] | None = None
    # What a passkey signed, as `POST /cases/{ref}/challenge` asked for it, where a rule wants one.
    assertion: dict[str, Any] | None = None


class DecidedBefore(Frozen):
    """Who was quicker with the same decision, and when."""

    reviewer: str
    at: str


class DecisionReceipt(Frozen):
    """What the reviewer gets back: the decision is on disk, or one of the approvals that make one."""

    status: str = "Signal Sent"
    decision: Said
    event_id: str
    approvals: Approvals | None = None
    decided_before: DecidedBefore | None = None  # by another reviewer, in the same way
    revealed: str | None = None  # that the case was seeded, and what is wrong with it


TOOK_BACK = "Approval Taken Back"
AGENT_ASKED = "Agent Asked"
CHANGED_ALONE = "Arguments Changed, Approval Needed"  # which has to be given in the new round
WAITS_FOR_MORE = "Approval Recorded, Further Approvals Needed"
WAITS = "Recorded, Further Approvals Needed"  # how many there are cannot be read now
STATUS_OF_GIVEN = {0: CHANGED_ALONE, None: WAITS}


def add_webhook(app: FastAPI, *, gate: WebhookGate, parts: Deciding) -> None:
    """Serve the human decision."""
    router = APIRouter(route_class=known_first(gate), tags=["people"])

    @router.post(APPROVAL_PATH, response_model_exclude_none=True)
    async def approval(
        request: DecisionRequest,
        caller: Annotated[Caller, Depends(gate)],
        idempotency_key: Annotated[
            str | None, Header(alias="Idempotency-Key", min_length=1, max_length=LONGEST_KEY)
        ] = None,
    ) -> DecisionReceipt:
        """Record a decision and wake the workflow, or ask the agent."""
        person = await gate.person(caller, request.reviewer)
        key = one_key(request.idempotency_key, idempotency_key, caller.message_id)
        if request.decision == TAKEN_BACK:
            return await _take_back(parts, person, request, key)
        if not isinstance(request.decision, Verdict):
            await _ask(parts, person, request, key)
            return DecisionReceipt(status=AGENT_ASKED, decision=request.decision, event_id=request.event_id)
        try:
            receipt = await decide(
                parts,
                person,
                case_id=request.event_id,
                verdict=request.decision,
                reason=request.reason,
                round_number=request.round or 1,
                seen_sha256=request.seen_sha256,
                on_behalf_of=request.on_behalf_of,
                idempotency_key=key,
                assertion=json.dumps(request.assertion) if request.assertion else None,
                arguments=request.arguments,
            )
        except AlreadyDecided as quicker:  # the same by another one: a program that asks for it has it
            by = DecidedBefore(reviewer=quicker.fields["reviewer"], at=quicker.fields["at"])
            return DecisionReceipt(decision=request.decision, event_id=request.event_id, decided_before=by)
        if receipt.approvals is not None:
            return DecisionReceipt(
                status=STATUS_OF_GIVEN.get(receipt.approvals.given, WAITS_FOR_MORE),
                decision=request.decision,
                event_id=request.event_id,
                approvals=receipt.approvals,
            )
        return DecisionReceipt(
            decision=request.decision, event_id=request.event_id, revealed=receipt.revealed
        )

    app.router.routes.extend(router.routes)


async def _take_back(
    parts: Deciding, person: Person, request: DecisionRequest, key: str | None
) -> DecisionReceipt:
    case_id = request.event_id
    await take_back(parts, person, case_id=case_id, reason=request.reason, idempotency_key=key)
    return DecisionReceipt(status=TOOK_BACK, decision=request.decision, event_id=case_id)


async def _ask(parts: Deciding, person: Person, request: DecisionRequest, key: str | None) -> None:
    text, way = request.reason or "", person.system
    await parts.decisions.ask(request.event_id, by=person.name, text=text, way=way, idempotency_key=key)


def one_key(in_body: str | None, in_header: str | None, message_id: str | None) -> str | None:
    """The idempotency key of a request, which names one at most; raises RequestInvalid."""
    keys = {key for key in (in_body, in_header, message_id) if key is not None}
    if len(keys) > 1:
        names = "The header Idempotency-Key, idempotency_key of the body"
        raise RequestInvalid(
            reason=f"{names} and webhook-id name one key; here they differ. Nothing was done."
        )
    return keys.pop() if keys else None
