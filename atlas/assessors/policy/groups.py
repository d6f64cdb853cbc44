"""The groups that rules name, against the people who belong to them now: too few are worth a warning."""

from collections.abc import Collection, Iterator, Mapping

from atlas.assessors.policy.rules import Rule
from atlas.review_rules import group_of

WHERE = (
    "A provider says its groups at a sign-in; `python -m atlas.people set NAME --groups` adds a person to one"
)


def too_small(rule: Rule, members: Mapping[str, Collection[str]]) -> Iterator[str]:
    """A sentence for each group of a rule without a member, or for all of them where they are too few."""
    named = rule.reviewers or ()
    groups = [group for one in named if (group := group_of(one)) is not None]
    steps = [group for step in rule.escalate or () if (group := group_of(step.to)) is not None]
    empty = [group for group in dict.fromkeys(groups + steps) if not members.get(group)]
    for group in empty:
        yield f'The rule "{rule.title}" names the group {group}, to which no person belongs now. {WHERE}.'
    people = {one for one in named if group_of(one) is None}
    people |= {name for group in groups for name in members.get(group, ())}
    needed = rule.approvals or 1
    if groups and people and len(people) < needed:
        count = f"{len(people)} {'person' if len(people) == 1 else 'people'}"
        yield (
            f'The rule "{rule.title}" asks for {needed} approvals, and its reviewers are {count} now: '
            f"no call of it can be approved. {WHERE}."
        )
