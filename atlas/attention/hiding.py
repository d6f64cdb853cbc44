"""The score that a rule hides from a person until they have made a first choice of their own."""

from typing import Any

from sqlalchemy.engine import Connection

from atlas.attention.looks import FIRST_CHOICE, said_before
from atlas.ledger import Action
from atlas.models import HAS_FAILED, Case, Status

HIDDEN = {"hidden": "Shown after your first choice."}
# What says the score, or why, in the ledger.
_TELLING = frozenset(
    action.value
    for action in (
        Action.ASSESSED,
        Action.ASKED,
        Action.REVIEW_REQUESTED,
        Action.REOPENED,
        Action.RULE_REFUSED,  # of another person: "from score 70 on"
    )
)


def is_score_hidden(connection: Connection, case: Case, person: str) -> bool:
    """Whether a rule hides score, class and rationale of a case that waits from this person."""
    ruling = case.assessment.ruling if case.assessment else None
    if ruling is None or not ruling.review.hides_score or case.status is not Status.PENDING_REVIEW:
        return False
    return said_before(connection, case, person, FIRST_CHOICE) is None


def without_score(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the ledger, for a person from whom the score is hidden."""
    detail = HIDDEN if entry["action"] in _TELLING else entry["detail"]
    return entry | {"actor": judge_without_score(entry["actor"]), "detail": detail}


def judge_without_score(assessor: str) -> str:
    """The name of an assessor, for such a person: one that failed has judged with 100."""
    return assessor.removesuffix(HAS_FAILED)
