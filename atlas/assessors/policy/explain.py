"""What the policy says of one call and why, in plain words."""

import json
from datetime import timedelta

from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy import ConditionFailed, Policy, why_person
from atlas.assessors.policy.evaluation import ANNOTATIONS
from atlas.assessors.policy.explain_review import Members, about_review
from atlas.assessors.policy.explain_trace import about_trace
from atlas.assessors.policy.matching import Match, Matched, match_rules
from atlas.assessors.policy.rules import NEVER_GOVERNED, Rule
from atlas.models import Ruling
from atlas.origins.outside import standing_of


def explain(policy: Policy, question: Question, *, usual: timedelta, members: Members | None = None) -> str:
    """Each rule that is about the call, what follows from them, and the verdict with and without a model.

    `usual` is how long people may take where no rule says it, `members` who belongs to which group.
    """
    if (why := NEVER_GOVERNED.get(question.tool.name)) is not None:
        return f"{question.tool.name} {why.removeprefix('it ')}, not even one that denies every tool."
    matched = match_rules(policy.fitting(question.tool), question)
    return "\n".join(
        [
            *_about_call(policy, question),
            *about_trace(question),
            *_about_rules(matched, question),
            *_result(policy, question, matched, usual, members),
        ]
    )


def _about_call(policy: Policy, question: Question) -> list[str]:
    tool = question.tool
    hints = [
        f"{name.removeprefix('is_').replace('_', '-')}: {'yes' if value else 'no'}"
        for name in ANNOTATIONS
        if (value := getattr(tool, name)) is not None
    ]
    known = ", ".join([*([f'"{tool.description}"'] if tool.description else []), *hints])
    nothing = "nothing that is known (--description, --read-only, --destructive: what it would say)"
    return [
        f"Policy     {policy.file.path}, SHA-256 {policy.sha256}",
        f"Call       {tool.name} by {question.principal}"
        + (f', who says it is for: "{question.intent}"' if question.intent else "")
        + (f', and that the user asked: "{question.user_request}"' if question.user_request else ""),
        f"Tool says  {known or nothing}",
        *([f"Definition sha256:{tool.definition_sha256}"] if tool.definition_sha256 else []),
        f"Speaks for {_speaks_for(policy, tool)}",
        "",
    ]


def _speaks_for(policy: Policy, tool: ToolFacts) -> str:
    rule = policy.marks(tool)
    if rule is not None:
        outside, because = rule.trust == "outside", f'the rule "{rule.title}" says trust = "{rule.trust}"'
    else:
        outside, because = standing_of(tool)
    return f"{'third parties' if outside else 'the house'}, because {because}"


def _about_rules(matched: list[Matched], question: Question) -> list[str]:
    if not matched:
        return [f"No rule decides on {question.tool.name}.", ""]
    return [line for entry in matched for line in [*_about_rule(entry), *_about_pin(entry, question)]] + [""]


def _about_pin(entry: Matched, question: Question) -> list[str]:
    pin, is_pinned = entry.rule.definition, entry.rule.is_pinned_to(question.tool.definition_sha256)
    if pin is None or is_pinned:
        return []
    return [f"    without its score, and for a person: it was written for the definition {pin}"]


def _about_rule(entry: Matched) -> list[str]:
    rule = entry.rule
    title = f'"{rule.name}" (line {rule.line})' if rule.name and rule.line else rule.title
    if entry.match is Match.COUNTS:
        lines = [f"Rule {title} counts, and gives {_given(rule)}."]
    elif entry.match is Match.DOES_NOT_HOLD:
        lines = [f"Rule {title} does not count, because its condition does not hold."]
    else:
        lines = [f"Rule {title}: its condition cannot be evaluated, because {entry.reason}."]
    return [*lines, f"    when {' '.join(rule.when.split())}"] if rule.when else lines


def _given(rule: Rule) -> str:
    texts = {"review_timeout": f"review_timeout {rule.review_timeout}", "deny": "deny"}
    reviewers = ", ".join(rule.reviewers or ())
    texts |= {"reviewers": f"reviewers {reviewers}"}
    return ", ".join(
        texts.get(key) or f"{key} {json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in rule.gives.items()
    )


def _result(
    policy: Policy,
    question: Question,
    matched: list[Matched],
    usual: timedelta,
    members: Members | None,
) -> list[str]:
    try:
        ruling, failed = policy.rule_at_once(question), False
    except ConditionFailed as error:
        ruling, failed = error.ruling, True
    counting = [entry.rule for entry in matched if entry.match is Match.COUNTS]
    why = None if failed or ruling.is_denied else why_person(counting)
    lines = [
        f"Score      {ruling.score} without a model",
        f"Floor      {ruling.floor}" + (f" (at least the threshold, because {why})" if why else ""),
        f"Class      {ruling.classification}",
        f"Because    {ruling.rationale}",
        f"Law        {ruling.legal_basis or 'nothing is said'}",
    ]
    return [
        *lines,
        *([] if ruling.is_denied else about_review(ruling, usual=usual, members=members)),
        "",
        *_verdict(policy, ruling, failed=failed),
    ]


def _verdict(policy: Policy, ruling: Ruling, *, failed: bool) -> list[str]:
    threshold = policy.threshold
    if ruling.is_denied:
        return ["With and without a model: the call is refused, and no person can lift that."]
    if failed:
        return ["With and without a model: a person decides, because a condition cannot be evaluated."]
    person = "so a person decides" if ruling.score >= threshold else "so it is approved without a person"
    lines = [f"Without a model: {ruling.score}, {person} (from {threshold} on)."]
    if ruling.floor >= threshold:
        return [*lines, f"With a model: at least {ruling.floor}, so a person decides in every case."]
    least = f", but at least {ruling.floor}" if ruling.floor else ""
    return [*lines, f"With a model: its score{least}; a person decides from {threshold} on."]
