"""Separation of duties: different people approve, and none who has to do with the agent or an earlier round.

A person and a delegate who decides for them are two names and one authority: they count once.
"""

from collections.abc import Collection, Iterable, Sequence

from atlas.errors import RuleRefuses
from atlas.instants import now
from atlas.models import Approval, Decision, as_seen
from atlas.people.records.delegations import Delegation
from atlas.people.votes import Vote
from atlas.reviews.situation import Situation

RULE = "separate"


def check_separate(situation: Situation, vote: Vote) -> None:
    """Raise RuleRefuses where the rule wants other people, or more of them, and this one is not."""
    if situation.case.decision is not None:
        return  # what is decided is not decided again
    who = tuple(name for name in (vote.reviewer, vote.on_behalf_of) if name)
    if situation.rules.is_separate:
        _check_earlier(situation, who)
        _check_owners(situation, who)
    others = [one for one in situation.given if as_seen(one.reviewer) != as_seen(vote.reviewer)]
    ties = situation.ties if situation.rules.is_separate else ()
    for one in others:
        if are_one(_names(one), who, (tie for tie in ties if _held(tie, one))):
            raise RuleRefuses(rule=RULE, reason=_why_one(one, vote))


def _check_earlier(situation: Situation, who: Sequence[str]) -> None:
    holding = [tie for tie in situation.ties if tie.holds_at(now())]
    for name in sorted(situation.earlier):
        if are_one((name,), who, holding):
            reason = (
                f"{name} approved case {situation.case.case_id} in an earlier round, and the policy wants "
                f"another person now. {_tied(name, who)}"
            )
            raise RuleRefuses(rule=RULE, reason=reason.strip())


def approved_earlier(situation: Situation, decision: Decision) -> bool:
    """Whether a decision is by, or for, a person of an earlier round."""
    return are_one(situation.earlier, [name for name in (decision.reviewer, decision.on_behalf_of) if name])


def _check_owners(situation: Situation, who: Sequence[str]) -> None:
    """The delegate of an owner, or an owner's giver, approves no call of the agent."""
    at = now()
    for name in who:
        for one in situation.directory.delegations(name):
            other = one.to_person if one.from_person == name else one.from_person
            if as_seen(other) in situation.owners and one.holds_at(at):
                agent = situation.case.call.principal
                reason = (
                    f"{other} owns the agent {agent}, and {one.to_person} decides for {one.from_person} now. "
                    "The policy wants a person who has nothing to do with it."
                )
                raise RuleRefuses(rule=RULE, reason=reason)


def are_one(some: Collection[str], others: Collection[str], ties: Iterable[Delegation] = ()) -> bool:
    """Whether two who approved, each with the one for whom they did, share a name or a delegation."""
    left, right = {as_seen(name) for name in some}, {as_seen(name) for name in others}
    if left & right:
        return True
    pairs = ((as_seen(tie.from_person), as_seen(tie.to_person)) for tie in ties)
    return any((a in left and b in right) or (b in left and a in right) for a, b in pairs)


def different(situation: Situation, given: Sequence[Approval]) -> int:
    """How many different people some approvals are of, by the rules of the case."""
    counted: list[Approval] = []
    ties = situation.ties if situation.rules.is_separate else ()
    for one in given:
        if not any(
            are_one(_names(one), _names(other), (tie for tie in ties if _held(tie, one, other)))
            for other in counted
        ):
            counted.append(one)
    return len(counted)


def _held(tie: Delegation, *given: Approval) -> bool:
    """Whether a delegation held when one of these was given; with one alone, also if it holds now."""
    moments = [one.decided_at for one in given] + ([now()] if len(given) == 1 else [])
    return any(tie.holds_at(at) for at in moments)


def _names(approval: Approval) -> tuple[str, ...]:
    return tuple(name for name in (approval.reviewer, approval.on_behalf_of) if name)


def _tied(name: str, who: Sequence[str]) -> str:
    return "" if as_seen(name) in map(as_seen, who) else f"{name} and {who[0]} count as one, by a delegation."


def _why_one(given: Approval, vote: Vote) -> str:
    for_whom = f" for {given.on_behalf_of}" if given.on_behalf_of else ""
    acting = f", who decides for {vote.on_behalf_of}," if vote.on_behalf_of else ""
    return (
        f"{given.reviewer} has approved it{for_whom}, and {vote.reviewer}{acting} counts as the same person. "
        "Another person has to approve it too."
    )
