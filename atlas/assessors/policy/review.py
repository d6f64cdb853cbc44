"""What several rules together ask of the review of a call: the strictest of each."""

from atlas.assessors.policy.rules import Rule
from atlas.review_rules import Escalation, ReviewRules


def review_of(rules: list[Rule], *, floor: int, threshold: int) -> ReviewRules:
    """What the rules that count ask for; `floor` is the one that the call has."""
    undo = max((int(rule.undo.total_seconds()) for rule in rules if rule.undo), default=0)
    return ReviewRules(
        is_separate=any(rule.separate for rule in rules),
        trainings=tuple(dict.fromkeys(rule.requires_training for rule in rules if rule.requires_training)),
        needs_passkey=any(rule.step_up for rule in rules),
        may_edit=_may_edit(rules),
        undo_seconds=undo,
        answer_seconds=_answer_seconds(rules),
        escalations=_escalations(rules),
        in_working_hours=any(rule.working_hours for rule in rules),
        hides_score=any(rule.hide_score for rule in rules),
        reason_from=min((rule.reason_from for rule in rules if rule.reason_from is not None), default=None),
        min_seconds=max((rule.min_seconds for rule in rules if rule.min_seconds), default=0),
        allows_plans=_allows_plans(rules, floor=floor, threshold=threshold),
    )


def at_worst(review: ReviewRules, rules: list[Rule]) -> ReviewRules:
    """The same where a condition could not be evaluated: what makes a call milder falls away.

    To whom a call goes that waits too long, only a rule without a condition says: such a person may approve.
    """
    steps = _escalations([rule for rule in rules if rule.when is None])
    milder = {"may_edit": (), "answer_seconds": None, "allows_plans": False, "escalations": steps}
    return review.model_copy(update=milder)


def _may_edit(rules: list[Rule]) -> tuple[str, ...]:
    """The arguments that all rules let a person change which let them change any."""
    given = [rule.may_edit for rule in rules if rule.may_edit is not None]
    return tuple(path for path in given[0] if all(path in one for one in given)) if given else ()


def _answer_seconds(rules: list[Rule]) -> int | None:
    given = [int(rule.answer_time.total_seconds()) for rule in rules if rule.answer_time is not None]
    return min(given, default=None)


def _escalations(rules: list[Rule]) -> tuple[Escalation, ...]:
    """The steps of the first rule that has some."""
    given = next((rule.escalate for rule in rules if rule.escalate is not None), ())
    return tuple(step.given for step in given)


def _allows_plans(rules: list[Rule], *, floor: int, threshold: int) -> bool:
    """Whether each rule with a floor for a person lets plans pass; an unknown tool has such a floor."""
    asking = [rule for rule in rules if rule.floor is not None and rule.floor >= threshold]
    return all(rule.plans for rule in asking) if asking else floor < threshold
