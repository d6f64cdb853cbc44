"""The condition of a plan: CEL over the arguments of a call, by the policy's own evaluator."""

from functools import lru_cache
from typing import TYPE_CHECKING

from atlas.assessors import Question
from atlas.assessors.policy.matching import knows_answers
from atlas.errors import PlanRefused

if TYPE_CHECKING:
    from atlas.assessors.policy.conditions import Condition

ARGUMENTS = "args"
LONGEST_CONDITION = 2000  # characters
MOST_KEPT = 200


@lru_cache(maxsize=MOST_KEPT)
def compiled(text: str) -> "Condition":
    """A condition that names nothing but the arguments; raises PlanRefused."""
    from atlas.assessors.policy.conditions import Condition, ConditionInvalid  # CEL takes a while

    try:
        condition = Condition(text)
    except ConditionInvalid as error:
        raise PlanRefused(reason=f"The condition {error}.") from error
    if others := sorted(condition.names - {ARGUMENTS}):
        said = f"The condition names {', '.join(others)}. That of a plan knows the arguments alone, as args."
        raise PlanRefused(reason=said)
    if condition.folds:  # the policy's author may; a reviewer could end the gateway with it
        raise PlanRefused(reason="The condition uses reduce(), which that of a plan does not know.")
    return condition


def why_not_held(text: str | None, question: Question) -> str | None:
    """Why a condition does not hold for a call, as part of a sentence and without its values; None: it holds.

    One that cannot be evaluated on a call does not hold for it. It takes as long as the arguments want.
    """
    if not knows_answers(text, question):
        return "the agent answers what the tool asked for, of which its condition says nothing"
    if text is None:
        return None
    condition = compiled(text)
    from atlas.assessors.policy.evaluation import Evaluation, why_not_evaluated

    try:
        return None if condition.holds(Evaluation(question)) else "its condition does not hold"
    except Exception as error:  # any error of CEL on the arguments: a person decides
        return f"its condition cannot be evaluated, because {why_not_evaluated(error)}"
