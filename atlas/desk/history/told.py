"""How a case ended, or where it stands, in the words of the desk."""

from dataclasses import dataclass

from atlas.cases.lists.listing import Line
from atlas.cases.lists.remarks import Remark
from atlas.desk.words import STATUSES
from atlas.models import Status, Verdict

KINDS = {
    Status.EXECUTED: "good",
    Status.REJECTED: "bad",
    Status.DENIED: "bad",
    Status.FAILED: "bad",
    Status.OUTCOME_UNKNOWN: "warn",
    Status.EXPIRED: "warn",
    Status.PENDING_REVIEW: "warn",
}


@dataclass(frozen=True)
class Told:
    """What a line says: a short word, who approved or rejected, and why."""

    kind: str  # of the badge: good, bad, warn, or none
    word: str
    more: str = ""  # ours; what others wrote stands apart
    person: str | None = None
    reason: str | None = None

    @property
    def sentence(self) -> str:
        """All of it in one line, for a file."""
        said = " ".join(part for part in (self.word, self.more, self.person) if part)
        return f"{said}: {self.reason}" if self.reason else said


def told_of(line: Line, remark: Remark) -> Told:
    """How a case ended, or where it stands."""
    kind, word = KINDS.get(line.status, ""), STATUSES[line.status]
    if line.status is Status.REJECTED:
        return Told(kind, word, "by", line.reviewer, remark.reason)
    if line.status in (Status.DENIED, Status.FAILED):
        return Told(kind, word, reason=remark.detail)
    if line.status is Status.EXPIRED:
        return Told(kind, word, "no person decided in time")
    if line.status is Status.PENDING_REVIEW and line.frozen_at is not None:
        return Told(kind, word, "its time is frozen by a stop")
    if line.status in (Status.EXECUTED, Status.OUTCOME_UNKNOWN, Status.AUTHORIZED, Status.EXECUTING):
        return _approved(line, remark)
    return Told(kind, word)


def _approved(line: Line, remark: Remark) -> Told:
    kind, word = KINDS.get(line.status, ""), STATUSES[line.status]
    if line.status is Status.EXECUTED and remark.is_tool_error:
        kind, word = "warn", "executed, the tool answered with an error"
    if line.status is Status.AUTHORIZED and line.frozen_at is not None:
        word = "approved, held by a stop"
    if line.decision is Verdict.APPROVED:
        return Told(kind, word, "approved by", line.reviewer, remark.reason)
    if line.plan_by is not None:
        return Told(kind, word, "passed by a plan of", line.plan_by)
    return Told(kind, word, "approved by the score")
