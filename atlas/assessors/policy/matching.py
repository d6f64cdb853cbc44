"""Which rules count for a call: their pattern matches its tool, and their condition holds."""

from enum import Enum
from typing import TYPE_CHECKING

from atlas.assessors import Question
from atlas.assessors.policy.rules import Rule
from atlas.models import Frozen

if TYPE_CHECKING:
    from atlas.assessors.policy.evaluation import Evaluation


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


def match_rules(fitting: list[Rule], question: Question) -> list[Matched]:
    """Evaluate the conditions of rules whose pattern matches; how long it takes depends on the arguments."""
    conditions = [rule.condition for rule in fitting]  # all are compiled before the time of the call begins
    if not any(conditions):
        return [Matched(rule=rule, match=Match.COUNTS) for rule in fitting]
    from atlas.assessors.policy.evaluation import Evaluation, why_not_evaluated

    try:
        evaluation = Evaluation(question)
    except Exception as error:  # a number that CEL has no place for, or arguments nested too deeply
        return [_matched(rule, why_not_evaluated(error)) for rule in fitting]
    return [_evaluated(rule, evaluation) for rule in fitting]


def _matched(rule: Rule, reason: str) -> Matched:
    if rule.condition is None:
        return Matched(rule=rule, match=Match.COUNTS)
    return Matched(rule=rule, match=Match.FAILED, reason=reason)


def _evaluated(rule: Rule, evaluation: "Evaluation") -> Matched:
    from atlas.assessors.policy.evaluation import why_not_evaluated

    try:
        holds = rule.condition is None or rule.condition.holds(evaluation)
    except Exception as error:  # any error of CEL on the arguments: the caller has a person decide
        return _matched(rule, why_not_evaluated(error))
    return Matched(rule=rule, match=Match.COUNTS if holds else Match.DOES_NOT_HOLD)
