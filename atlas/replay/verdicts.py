"""What became of a call by its score, then and by another policy, in one of three words."""

import hashlib
from collections import OrderedDict
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.assessors import Question
from atlas.assessors.policy import ConditionFailed, Policy
from atlas.database.beside import Beside
from atlas.grounds.first_seen import for_a_person, is_bound_to_first
from atlas.grounds.model_score import WORST_SCORE, score_with_model
from atlas.models import NO_TOOL, Ruling, Status
from atlas.replay.past import Judged, Past
from atlas.replay.questions import Questions
from atlas.traces import NO_ORIGINS

MOST_KEPT = 10_000  # rulings on calls that may come again in the same words
FIRST = sa.text(
    "SELECT definition_sha256 FROM tool_definitions"
    " WHERE tool_name = :tool_name AND policy_sha256 = :policy_sha256"
)


class Verdict(str, Enum):
    """What the score of a call leads to."""

    APPROVED = "approved"  # without a person
    ASKED = "asked"  # a person decides
    DENIED = "denied"


class Said(NamedTuple):
    """A verdict and where it came from."""

    verdict: Verdict
    rules: tuple[str, ...]
    approvals: int = 1  # that a person's decision takes
    failed_rule: str | None = None  # why no condition could be evaluated
    lacks_model: bool = False  # a model may have been asked, and its score is not on record


class Now(NamedTuple):
    """What the policy leads to, as far as one call alone says it."""

    said: Said
    definition_sha256: str | None = None  # which the tool must have had first, or a person decides
    was_in_force: bool = False  # whether the call was judged by this policy


# What waits, ended by time, or was approved, without a score: the workflow put it before a person.
_ASKED_WITHOUT_SCORE = frozenset(Status) - {
    Status.QUEUED,
    Status.REJECTED,
    Status.WITHDRAWN,
    Status.FAILED,
    Status.DENIED,
}


def then(past: Past) -> Said | None:
    """What the first judgement of a call came to; None: it ended, or still stands, before one."""
    judged = past.judged
    if judged is None:
        return Said(Verdict.ASKED, ()) if past.status in _ASKED_WITHOUT_SCORE else None
    ruling = judged.ruling or {}
    rules = tuple(ruling.get("rules", ()))
    if ruling.get("is_denied"):
        return Said(Verdict.DENIED, rules)
    verdict = Verdict.ASKED if judged.risk_score >= judged.threshold else Verdict.APPROVED
    return Said(verdict, rules, ruling.get("approvals", 1))


class _Ruled(NamedTuple):
    ruling: Ruling | None
    failure: str | None  # why a person decides, also where a model gave a low score


class Judge:
    """Says of each call what a policy would have led to."""

    def __init__(self, policy: Policy, store: Beside) -> None:
        self._policy = policy
        self.questions = Questions(store)
        self._kept: OrderedDict[bytes, _Ruled] = OrderedDict()

    def now(self, past: Past) -> Now:
        """What the policy leads to on a call; a failure on the way means that a person decides."""
        ruled = self._ruled(past)
        if ruled.ruling is None:
            return Now(Said(Verdict.ASKED, (), failed_rule=ruled.failure))
        ruling = ruled.ruling
        if ruling.is_denied:
            return Now(Said(Verdict.DENIED, ruling.rules))
        if ruled.failure is not None:
            return Now(Said(Verdict.ASKED, ruling.rules, ruling.approvals, failed_rule=ruled.failure))
        if past.definition_sha256 == NO_TOOL:
            ruling = for_a_person(ruling, "The tool was not there.", threshold=self._policy.threshold)
        score, lacks_model = _score(ruling, past.judged, threshold=self._policy.threshold)
        verdict = Verdict.ASKED if score >= self._policy.threshold else Verdict.APPROVED
        said = Said(verdict, ruling.rules, ruling.approvals, lacks_model=lacks_model)
        return Now(said, self._bound_to(ruling, past), self._was_in_force(past))

    def _bound_to(self, ruling: Ruling, past: Past) -> str | None:
        tool = self.questions.facts(past.tool_name, past.definition_sha256)
        return tool.definition_sha256 if is_bound_to_first(ruling, tool) else None

    def _was_in_force(self, past: Past) -> bool:
        ruling = past.judged.ruling if past.judged else None
        return ruling is not None and ruling.get("policy_sha256") == self._policy.sha256

    def has_other_trust(self, past: Past) -> bool:
        """Whether the record says something else of the tool than the `trust` of this policy."""
        if past.judged is None:
            return False
        rule = self._policy.marks(self.questions.facts(past.tool_name, past.definition_sha256))
        return rule is not None and (rule.trust == "outside") != past.judged.is_outside

    def _ruled(self, past: Past) -> _Ruled:
        """What the policy says, looked up where the same was asked before: it depends on nothing else.

        Where it can depend on the calls before, nothing is looked up.
        """
        if past.earlier:
            return self._rule(self.questions.of(past))
        key = _key(past)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = self._rule(self.questions.of(past))
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return kept

    def _rule(self, question: Question) -> _Ruled:
        if question.trace is None:
            return _Ruled(self._policy.ruling_at_worst(question, reason=NO_ORIGINS), NO_ORIGINS)
        try:
            return _Ruled(self._policy.rule_at_once(question), None)
        except ConditionFailed as error:
            return _Ruled(error.ruling, str(error))
        except Exception as error:  # as the gateway does: a person decides
            return _Ruled(None, f"The policy could not be applied: {type(error).__name__}.")


class FirstSeen:
    """Which definition of each tool is the first one; it is asked about the calls in their order."""

    def __init__(self, store: Beside, policy_sha256: str) -> None:
        self._store = store
        self._policy_sha256 = policy_sha256
        self._first: dict[str, str] = {}  # had the policy been in force from the first call on
        self._recorded: dict[str, str | None] = {}  # where it was in force

    def said(self, now: Now, tool_name: str) -> Said:
        """What the policy leads to; as at the gateway (`as_first_seen`), a person sees another definition."""
        if now.definition_sha256 is None or self._first_of(now, tool_name) == now.definition_sha256:
            return now.said
        return now.said._replace(verdict=Verdict.ASKED)

    def _first_of(self, now: Now, tool_name: str) -> str | None:
        if now.was_in_force:
            if tool_name not in self._recorded:
                found = partial(_recorded, tool_name=tool_name, policy_sha256=self._policy_sha256)
                self._recorded[tool_name] = self._store.look(found)
            if self._recorded[tool_name] is not None:
                return self._recorded[tool_name]
        return self._first.setdefault(tool_name, str(now.definition_sha256))


def _recorded(connection: Connection, *, tool_name: str, policy_sha256: str) -> str | None:
    row = connection.execute(FIRST, {"tool_name": tool_name, "policy_sha256": policy_sha256}).first()
    return str(row[0]) if row else None


def _score(ruling: Ruling, judged: Judged | None, *, threshold: int) -> tuple[int, bool]:
    """The score as the gateway has it, and whether a model's part in it is missing from the record."""
    alone = max(ruling.score, ruling.floor)
    if judged is None or ruling.floor >= WORST_SCORE:
        return alone, False
    if judged.model_score is not None:
        said = judged.classification
        return score_with_model(ruling, judged.model_score, said, threshold=threshold), False
    if judged.has_failed and not judged.is_of_policy:  # the model failed, as it would have then
        return WORST_SCORE, True
    return alone, True


def _key(past: Past) -> bytes:
    judged = past.judged
    trace: Any = None if judged is None else (judged.trace, judged.has_lost_trace)
    asked = (past.tool_name, past.definition_sha256, past.arguments, past.principal)
    said = (past.intent, past.user_request, trace)
    return hashlib.sha256(repr((*asked, *said)).encode("utf-8", "surrogatepass")).digest()
