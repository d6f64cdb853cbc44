"""The approvals of a case where the policy asks for several: each counts once, the last one decides."""

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.store import add_approval
from atlas.instants import now
from atlas.models import Approval, Case, Verdict, as_seen
from atlas.people.votes import Vote
from atlas.reviews.eligibility import is_complete
from atlas.reviews.passkey import digest_of_assertion
from atlas.reviews.separation import different
from atlas.reviews.situation import Situation


def is_last_approval(connection: Connection, case: Case, vote: Vote, owners: frozenset[str]) -> bool:
    """Count an approval where the policy asks for several, and say whether it completes them."""
    needed = case.assessment.approvals if case.assessment else 1
    if needed == 1:
        return True
    situation = Situation(connection, case, owners)
    if not any(as_seen(one.reviewer) == as_seen(vote.reviewer) for one in situation.given):
        given = different(situation, situation.given) + 1  # Anna is no other person than anna
        _count(connection, case, vote, detail={"given": given, "needed": needed})
        situation = Situation(connection, case, owners)
    return is_complete(situation, situation.given)


def _count(connection: Connection, case: Case, vote: Vote, *, detail: dict[str, int]) -> None:
    approval = Approval(
        reviewer=vote.reviewer,
        reason=vote.reason,
        arguments_sha256=case.call_in_force.arguments_sha256,
        decided_at=now(),
        on_behalf_of=vote.on_behalf_of,
        way=vote.way,
    )
    add_approval(connection, case, approval)
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.APPROVAL_COUNTED,
        actor=vote.reviewer,
        detail=detail | said(case, vote),
        at=approval.decided_at,
    )


def said(case: Case, vote: Vote) -> dict[str, str | None]:
    """For the ledger: the reason, for whom, and what a reviewer decided on, by its digests."""
    return {
        "reason": vote.reason,
        **({"on_behalf_of": vote.on_behalf_of} if vote.on_behalf_of else {}),
        "arguments_sha256": case.call_in_force.arguments_sha256,
        "definition_sha256": case.definition_sha256,
        **({"way": vote.way} if vote.way else {}),
        **_signed(vote),
    }


def _signed(vote: Vote) -> dict[str, str]:
    """The digest of what a passkey signed, where it was checked, as it is of an approval alone."""
    if vote.assertion is None or vote.verdict is not Verdict.APPROVED:
        return {}
    return {"assertion_sha256": digest_of_assertion(vote.assertion)}
