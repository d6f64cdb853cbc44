"""How a person decides, whichever way it comes in: the webhook, the desk, or a terminal."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from atlas.errors import RequestInvalid
from atlas.models import Assessment, Case, Frozen, Verdict
from atlas.people.person import Person
from atlas.people.votes import Vote

logger = logging.getLogger(__name__)


class Decides(Protocol):
    """What takes the decisions of people."""

    async def record(self, case_id: str, vote: Vote) -> Case:
        """Record a decision, or one of the approvals that together are one."""

    async def rule(self, case: Case) -> Assessment:
        """What the policy in force says of a call."""

    async def take_back(self, case_id: str, vote: Vote) -> Case:
        """Take an approval back before the call begins."""

    async def ask(
        self, case_id: str, *, by: str, text: str, way: str | None = None, idempotency_key: str | None = None
    ) -> Case:
        """Put a question to the agent of a case that waits."""

    async def approvals_of(self, case: Case) -> int:
        """How many reviewers have approved a case so far."""


class Deciding(Protocol):
    """What a decision needs: who takes it, and who is told of it."""

    @property
    def decisions(self) -> Decides:
        """What takes it."""

    @property
    def announce(self) -> Callable[[Case], None]:
        """What tells the workflow."""


class Approvals(Frozen):
    """How many reviewers have approved a call, and how many have to; `given` is None where no one can say."""

    given: int | None = None
    needed: int


class Receipt(Frozen):
    """What is on disk now."""

    case: Case
    verdict: Verdict
    approvals: Approvals | None = None  # while the approval waits for more of them

    @property
    def revealed(self) -> str | None:
        """That the case was seeded, and what is wrong with it; None: an agent made it."""
        return self.case.outcome.detail if self.case.is_seeded and self.case.outcome else None


async def decide(
    parts: Deciding,
    person: Person,
    *,
    case_id: str,
    verdict: Verdict,
    reason: str | None = None,
    round_number: int = 1,
    seen_sha256: str | None = None,
    idempotency_key: str | None = None,
    on_behalf_of: str | None = None,
    assertion: str | None = None,
    arguments: dict[str, Any] | None = None,
    together_below: int | None = None,
) -> Receipt:
    """Record what a person decides, and wake the workflow; what they decided before is a success again.

    An approval is for the round, and with `seen_sha256` for the very call, tool and policy that were shown;
    a rejection is for the call, however it was judged. `arguments` are the whole new ones of an approval that
    changes some, which begins another round. Raises AlreadyDecided where another person said the
    same before, ContraryDecision where someone said the opposite, CallChanged, KeyUsed, ReviewExpired,
    CaseFinished, CaseNotFound, RequestInvalid and NotPermitted; nothing is changed then, but that a case is
    judged again.
    """
    if arguments is not None and verdict is not Verdict.APPROVED:
        raise RequestInvalid(reason="Only an approval changes arguments. Nothing was done.")
    vote = Vote(
        verdict,
        reviewer=person.name,
        reason=reason,
        is_signed=person.is_signed,
        way=person.system,
        round_number=round_number,
        seen_sha256=seen_sha256,
        idempotency_key=idempotency_key,
        groups=person.groups,
        on_behalf_of=on_behalf_of,
        assertion=assertion,
        arguments=arguments,
        together_below=together_below,
    )
    case = await parts.decisions.record(case_id, vote)
    if verdict is Verdict.APPROVED and case.decision is None and case.assessment is not None:
        given = None
        try:
            given = await parts.decisions.approvals_of(case)
        except SQLAlchemyError:  # the approval is on disk all the same
            logger.exception("The approvals of %s could not be counted", case_id)
        approvals = Approvals(given=given, needed=case.assessment.approvals)
        return Receipt(case=case, verdict=verdict, approvals=approvals)
    if case.reported_at is None:
        parts.announce(case)
    return Receipt(case=case, verdict=verdict)


async def take_back(
    parts: Deciding,
    person: Person,
    *,
    case_id: str,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Case:
    """Take the approval of a call back before it begins; it waits again, and nothing of it is decided.

    Raises TakeBackRefused where it has begun, or no rule gives time for that, NotPermitted for a person who
    did not approve it, KeyUsed and CaseNotFound.
    """
    vote = Vote(
        Verdict.REJECTED,  # of the approval; the call itself is not rejected
        reviewer=person.name,
        reason=reason,
        is_signed=person.is_signed,
        way=person.system,
        idempotency_key=idempotency_key,
        groups=person.groups,
    )
    return await parts.decisions.take_back(case_id, vote)
