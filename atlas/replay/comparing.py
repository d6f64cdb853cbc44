"""Call after call: what was judged then, and what a policy says; it depends on no other call of the span."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from atlas.assessors.policy import Policy
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.frozen import Frozen
from atlas.models import Status
from atlas.models import Verdict as Decided
from atlas.replay.before import Before
from atlas.replay.past import Past, Window, steps
from atlas.replay.questions import reads_tags
from atlas.replay.span import Span
from atlas.replay.verdicts import Judge, Now, Said, Verdict, then


class Task(Frozen):
    """What is compared with what; it can be handed to another process."""

    location: Location
    policy: Path  # how it is named
    content: bytes
    threshold: int
    span: Span


class Compared(NamedTuple):
    """One call, as much of it as is counted."""

    case_id: str
    opened_at: str
    tool_name: str
    decision: Decided | None
    before: Said
    now: Now
    noted: tuple[str, ...]  # what is not known of it, by the names in `Notes`


class Part(NamedTuple):
    """Calls in their order."""

    calls: list[Compared | None]  # None: it was never judged
    is_whole: bool = True  # False: the time was up


class Comparing:
    """Compares the calls of one window after the other."""

    def __init__(self, task: Task) -> None:
        policy = Policy(task.policy, threshold=task.threshold, content=task.content)
        self._store = beside(task.location)
        self._judge = Judge(policy, self._store)
        self._earlier = Before(policy, task.span).earlier
        self._threshold = task.threshold
        self._without_tags = reads_tags(policy)

    def parts(self, window: Window, ends_at: float) -> Iterator[Part]:
        """The calls of a window, until all are compared or the time is up."""
        for step in steps(self._store, window, self._earlier):
            calls: list[Compared | None] = []
            for past in step:
                if monotonic() > ends_at:
                    yield Part(calls, is_whole=False)
                    return
                calls.append(self._compared(past))
            yield Part(calls)

    def _compared(self, past: Past) -> Compared | None:
        before = then(past)
        if before is None:
            return None
        now = self._judge.now(past)
        noted = tuple(name for name, is_noted in self._notes(past, before, now.said).items() if is_noted)
        return Compared(past.case_id, past.opened_at, past.tool_name, past.decision, before, now, noted)

    def _notes(self, past: Past, before: Said, after: Said) -> dict[str, bool]:
        judged = past.judged
        lost = judged is not None and judged.has_lost_trace
        return {
            "without_trace": not lost and (judged is None or judged.trace is None),
            "lost_trace": lost,
            "without_definition": not self._judge.questions.has_definition(past),
            "without_tags": self._without_tags,
            "model_used": judged is not None and judged.model_score is not None,
            "model_missing": after.lacks_model,
            "failed_then": judged is None or judged.has_failed,
            "failed_now": after.failed_rule is not None,
            "reopened": past.round_number > 1,
            "withdrawn": past.status is Status.WITHDRAWN,
            "frozen": past.is_frozen,
            "other_threshold": judged is not None and judged.threshold != self._threshold,
            "other_trust": self._judge.has_other_trust(past),
            "denied_then_asked": before.verdict is Verdict.DENIED and after.verdict is not Verdict.DENIED,
        }
