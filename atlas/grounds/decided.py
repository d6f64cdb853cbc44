"""What people decided of a case before: the same again is no second decision, and another one is refused.

To take an approval back, or to reject the call before it begins, is an act of its own: atlas/reviews/undo.py.
"""

from sqlalchemy.engine import Connection

from atlas.cases.store import read_approvals
from atlas.errors import AlreadyDecided, ContraryDecision
from atlas.instants import moment
from atlas.models import Case, Decision, Verdict
from atlas.people.votes import Vote


def is_decided(case: Case, vote: Vote) -> bool:
    """Whether a person has decided so already; raises ContraryDecision if it was the other way."""
    if case.decision is None:
        return False
    if case.decision.decision is not vote.verdict:
        raise ContraryDecision(case_id=case.case_id, **_by_whom(case.decision))
    return True


def is_own(connection: Connection, case: Case, vote: Vote) -> bool:
    """Whether some part of what was decided so is the vote of this reviewer."""
    if case.decision is None:
        return False
    if case.decision.reviewer == vote.reviewer:
        return True
    given = read_approvals(connection, case) if vote.verdict is Verdict.APPROVED else ()
    return any(approval.reviewer == vote.reviewer for approval in given)


def check_is_own(connection: Connection, case: Case, vote: Vote) -> None:
    """Raise AlreadyDecided if no part of what was decided so is the vote of this reviewer."""
    if case.decision is not None and not is_own(connection, case, vote):
        raise AlreadyDecided(case_id=case.case_id, **_by_whom(case.decision))


def _by_whom(decision: Decision) -> dict[str, str]:
    return {
        "decision": decision.decision.value.lower(),
        "reviewer": decision.reviewer,
        "at": moment(decision.decided_at),
    }
