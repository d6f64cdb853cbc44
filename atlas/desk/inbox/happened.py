"""What happened to a call, in a few words, as lists of the desk say it."""

from dataclasses import dataclass
from datetime import datetime

from atlas.cases.lists.listing import Line
from atlas.models import Status, Verdict

_ENDINGS: dict[Status, tuple[str, str]] = {
    Status.EXPIRED: ("no one decided in time", "warn"),
    Status.WITHDRAWN: ("taken back by its agent", ""),
    Status.DENIED: ("denied by the policy", "bad"),
    Status.FAILED: ("approved, and never executed", "bad"),
    Status.OUTCOME_UNKNOWN: ("begun, and its outcome is unknown", "bad"),
}
_AFTER: dict[Status, str] = {
    Status.AUTHORIZED: "not begun yet",
    Status.EXECUTING: "runs now",
    Status.EXECUTED: "the tool has answered",
    Status.FAILED: "never executed",
    Status.OUTCOME_UNKNOWN: "its outcome is unknown",
}


@dataclass(frozen=True)
class Happened:
    """In words, when, and whether it was good, bad or neither (the names of badges)."""

    words: str
    at: datetime | None
    mood: str
    then: str = ""  # what followed a decision

    @property
    def text(self) -> str:
        """All of it in a sentence without an end."""
        at = f" at {self.at:%H:%M} UTC" if self.at else ""
        return f"{self.words}{at}" + (f", {self.then}" if self.then else "")


def happened(line: Line) -> Happened | None:
    """What happened to a call; None while it waits for a person."""
    if line.status is Status.PENDING_REVIEW:
        return None
    if line.decision is not None:
        mood = "good" if line.decision is Verdict.APPROVED else "bad"
        words = f"{line.decision.value.lower()} by {line.reviewer}"
        return Happened(words, line.decided_at, mood, _AFTER.get(line.status, ""))
    if line.plan_by is not None:
        return Happened(
            f"passed by a plan of {line.plan_by}", line.finished_at, "good", _AFTER.get(line.status, "")
        )
    words, mood = _ENDINGS.get(line.status, ("does not wait for a person now", ""))
    return Happened(words, line.finished_at, mood)
