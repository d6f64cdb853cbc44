"""Alike calls that are approved in one go: only those of which no rule asks more than one person's yes."""

from collections.abc import Sequence
from typing import Any

from atlas.canonical import canonical_json, form_of_call
from atlas.errors import RuleRefuses
from atlas.models import Case
from atlas.people.votes import Vote

ALONE = "Open it, and decide on it alone."
LONGEST_ARGUMENTS = 3_000  # bytes of their canonical form: longer ones are not shown whole beside others
MOST_VALUES = 100  # in all of their levels


def check_together(case: Case, vote: Vote) -> None:
    """Raise RuleRefuses where an approval is one of many, and this call has to be looked at alone."""
    if vote.together_below is None:
        return
    if (reason := why_alone(case, below=vote.together_below)) is not None:
        raise RuleRefuses(
            rule="together_below",
            reason=f"Case {case.case_id} cannot be approved with others: {reason}. {ALONE}",
        )


def why_alone(case: Case, *, below: int) -> str | None:
    """Why a call is not approved together with others, as part of a sentence; None: it can be.

    `below` is what the policy says as `together_below`: 0 keeps all calls apart.
    """
    judged = case.assessment
    ruling = judged.ruling if judged else None
    if judged is None or ruling is None or judged.has_failed:
        return "it was not judged by the policy"
    review = ruling.review
    asked = {
        f"the policy asks for {ruling.approvals} approvals": ruling.approvals > 1,
        "the policy asks for a passkey": review.needs_passkey,
        "the policy asks for separate people": review.is_separate,
        "the policy asks for a training": bool(review.trainings),
        # Before what depends on the score, which is hidden until then.
        "the policy asks for a first choice": review.hides_score,
        "the policy asks for a reason": review.reason_from is not None
        and judged.risk_score >= review.reason_from,
        "the policy asks for time to look": bool(review.min_seconds),
    }
    if (reason := next((reason for reason, is_so in asked.items() if is_so), None)) is not None:
        return reason  # before the score, which a rule may hide
    if judged.risk_score >= below:
        return f"its score {judged.risk_score} is not below {below} (together_below of the policy)"
    return None if is_short(case) else "its arguments are too long to be read among others"


def is_short(case: Case) -> bool:
    """Whether the arguments can be shown whole where many calls are decided on."""
    form = form_of_call(case.call_in_force.arguments, case.call_in_force.continuation)
    return len(canonical_json(form)) <= LONGEST_ARGUMENTS and _values_in(form) <= MOST_VALUES


def _values_in(value: Any) -> int:
    """How many values a person has to read: each is a line."""
    if isinstance(value, dict | list | tuple):
        return 1 + sum(map(_values_in, value.values() if isinstance(value, dict) else value))
    return 1


def are_alike(cases: Sequence[Case]) -> bool:
    """Whether all are calls of one tool by one agent, for which the same rules hold."""
    return len({_kind(case) for case in cases}) <= 1


def _kind(case: Case) -> tuple[object, ...]:
    ruling = case.assessment.ruling if case.assessment else None
    about = (ruling.policy_sha256, ruling.rules, ruling.reviewers, ruling.review) if ruling else ()
    return (case.call.tool_name, case.call.principal, case.definition_sha256, str(about))
