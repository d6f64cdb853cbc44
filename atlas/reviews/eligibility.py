"""Whether a person is among those whom a rule lets approve: by name, by a group, or for another person."""

from sqlalchemy.engine import Connection

from atlas.errors import NotPermitted, RuleRefuses
from atlas.models import Case
from atlas.people.votes import Vote


def as_delegate(connection: Connection, case: Case, vote: Vote) -> Vote:
    """The vote, and for whom it is given; raises RuleRefuses, or NotPermitted for a name no one checked."""
    ruling = case.assessment.ruling if case.assessment else None
    if ruling is None or not (ruling.reviewers or ruling.approvals > 1):
        return vote
    if not vote.is_signed:
        checked = "a name that is checked: a reviewer's key that has a name, or an account at the desk"
        raise NotPermitted(reason=f"To approve case {case.case_id} takes {checked}.")
    if ruling.reviewers and vote.reviewer not in ruling.reviewers:
        names = ", ".join(ruling.reviewers)
        reason = f"The policy lets {names} approve case {case.case_id}, not {vote.reviewer}."
        raise RuleRefuses(rule="reviewers", reason=reason)
    return vote
