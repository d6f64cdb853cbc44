"""Which rules count for a call: their pattern matches its tool, and their condition holds."""

from enum import Enum
from typing import TYPE_CHECKING

from atlas.assessors import Question
from atlas.assessors.policy.rules import Rule
from atlas.models import ANSWERS, Frozen

if TYPE_CHECKING:
    from atlas.assessors.policy.evaluation import Evaluation


NOT_SEEN = f"the agent answers what the tool asked for, and it does not name args.{ANSWERS}"


class Match(str, Enum):
    """What became of a rule whose pattern matches."""

    COUNTS = "counts"
    DOES_NOT_HOLD = "does not hold"
    FAILED = "failed"


class Matched(Frozen):
    """A rule whose pattern matches, and what became of it."""

    rule: Rule
    match: Match
    reason: str = ""  # why its condition could not be evaluated


def match_plainly(fitting: list[Rule], question: Question) -> list[Matched | None]:
    """What became of each rule as far as that can be said without CEL, which costs almost nothing."""
    return [_plainly(rule, question) for rule in fitting]


def match_at_once(
    fitting: list[Rule], question: Question, plainly: list[Matched | None]
) -> list[Matched] | None:
    """What became of all rules, in a few milliseconds of this thread; None where `match_rules` has to say.

    `plainly` is what `match_plainly` says of them.
    """
    if not all(entry or rule.is_compiled for rule, entry in zip(fitting, plainly, strict=True)):
        return None
    from atlas.assessors.policy.evaluation import Evaluation

    evaluation = Evaluation(question, is_short=True)
    try:
        return [
            entry or _unanswered(rule, question) or _quickly(rule, evaluation)
            for rule, entry in zip(fitting, plainly, strict=True)
        ]
    except Exception:  # it takes longer, or fails, which `match_rules` tells apart
        return None


def match_rules(fitting: list[Rule], question: Question) -> list[Matched]:
    """Evaluate the conditions of rules whose pattern matches; how long it takes depends on the arguments."""
    plainly = match_plainly(fitting, question)
    if None not in plainly:
        return [entry for entry in plainly if entry is not None]
    for rule, entry in zip(fitting, plainly, strict=True):
        _ = entry or rule.condition  # all are compiled before the time of the call begins
    from atlas.assessors.policy.evaluation import Evaluation

    evaluation = Evaluation(question)
    return [
        entry or _unanswered(rule, question) or _evaluated(rule, evaluation)
        for rule, entry in zip(fitting, plainly, strict=True)
    ]


def _quickly(rule: Rule, evaluation: "Evaluation") -> Matched:
    return _matched(rule, holds=rule.condition is None or rule.condition.holds_quickly(evaluation))


def _plainly(rule: Rule, question: Question) -> Matched | None:
    if rule.when is None:
        return Matched(rule=rule, match=Match.COUNTS)
    holds = None if question.trace is None else rule.holds_plainly(question.trace)
    return None if holds is None else _matched(rule, holds=holds)


def _unanswered(rule: Rule, question: Question) -> Matched | None:
    """A condition on the arguments that was written without a thought of what the agent answers."""
    reads = rule.condition is not None and "args" in rule.condition.names
    if not reads or knows_answers(rule.when, question):
        return None
    return Matched(rule=rule, match=Match.FAILED, reason=NOT_SEEN)


def knows_answers(condition: str | None, question: Question) -> bool:
    """Whether a condition on the arguments names the answers of the agent, or there are none."""
    return question.answers_as is None or (question.answers_as == ANSWERS and ANSWERS in (condition or ""))


def _matched(rule: Rule, *, holds: bool) -> Matched:
    return Matched(rule=rule, match=Match.COUNTS if holds else Match.DOES_NOT_HOLD)


def _evaluated(rule: Rule, evaluation: "Evaluation") -> Matched:
    from atlas.assessors.policy.evaluation import why_not_evaluated

    try:
        holds = rule.condition is None or rule.condition.holds(evaluation)
    except Exception as error:  # any error of CEL on the arguments: the caller has a person decide
        return Matched(rule=rule, match=Match.FAILED, reason=why_not_evaluated(error))
    return _matched(rule, holds=holds)
