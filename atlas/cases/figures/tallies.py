"""What is counted of calls: how they ended, what was decided on them, at which score, how fast, by whom."""

import math
import statistics
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from atlas.models import Status, Verdict

QUICK_SECONDS = 10.0  # a person who decides faster has hardly read the call
BAND = 10  # scores in one line


class Ending(str, Enum):
    """How a call ended, for a reader of figures."""

    EXECUTED_BY_SCORE = "executed_by_score"
    EXECUTED_BY_PERSON = "executed_by_person"
    REJECTED = "rejected"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    FAILED = "failed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    OPEN = "open"  # it has not ended


class Answer(str, Enum):
    """What was decided on a call, and by what."""

    APPROVED_BY_SCORE = "approved_by_score"
    APPROVED_BY_PERSON = "approved_by_person"
    REJECTED = "rejected"
    DENIED = "denied"
    NONE = "none"  # it expired, or the agent took it back
    OPEN = "open"


_EARLY = {Status.DENIED: Answer.DENIED, Status.EXPIRED: Answer.NONE, Status.WITHDRAWN: Answer.NONE}


def ending_of(status: Status, verdict: Verdict | None) -> Ending:
    """How a call ended that stands so, with the decision of a person in its round."""
    if status is Status.EXECUTED:
        return Ending.EXECUTED_BY_PERSON if verdict else Ending.EXECUTED_BY_SCORE
    return Ending(status.value.lower()) if status.is_final else Ending.OPEN


def answer_of(status: Status, verdict: Verdict | None) -> Answer:
    """What was decided on a call that stands so, with the decision of a person in its round."""
    if status in _EARLY:
        return _EARLY[status]
    if verdict is not None:
        return Answer.APPROVED_BY_PERSON if verdict is Verdict.APPROVED else Answer.REJECTED
    return Answer.OPEN if status.is_undecided else Answer.APPROVED_BY_SCORE


@dataclass
class Tally:
    """What was counted of the calls of a span."""

    endings: Counter[tuple[str, Ending]] = field(default_factory=Counter)  # by tool
    answers: Counter[tuple[int | None, Answer]] = field(default_factory=Counter)  # by the band of the score
    # Of each person and verdict: how long after the call came, in seconds.
    decided: dict[tuple[str, Verdict], "array[float]"] = field(default_factory=lambda: defaultdict(_seconds))

    def add(self, other: "Tally") -> None:
        """Count what another one has counted, too."""
        self.endings.update(other.endings)
        self.answers.update(other.answers)
        for who, seconds in other.decided.items():
            self.decided[who].extend(seconds)

    @property
    def calls(self) -> int:
        """How many calls came."""
        return self.endings.total()

    def seconds_of(self, reviewer: str | None = None, verdict: Verdict | None = None) -> list[float]:
        """How long decisions took, of a person and of a kind, the fastest first."""
        chosen = (
            seconds
            for (name, said), seconds in self.decided.items()
            if reviewer in (None, name) and verdict in (None, said)
        )
        return sorted(one for seconds in chosen for one in seconds)


def band_of(score: int | None) -> int | None:
    """The lowest score of the band: 0, 10, … 90; 100 belongs to the last. None where there is no score."""
    return None if score is None else min(score, 99) // BAND * BAND


def _seconds() -> "array[float]":
    return array("d")


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share of all does not exceed (nearest rank); None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def median(ordered: Sequence[float]) -> float | None:
    """The middle, or the mean of the two in the middle; None of none."""
    return statistics.median(ordered) if ordered else None
