"""Whether a person is among those whom a rule lets approve: by name, by a group, or for another person."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from atlas.errors import NotPermitted, RuleRefuses
from atlas.models import Approval, as_seen
from atlas.people.person import Person
from atlas.people.records.delegations import Delegation
from atlas.people.records.directory import Directory
from atlas.people.records.profiles import Profile, entries_of
from atlas.people.votes import Vote
from atlas.review_rules import GROUP
from atlas.reviews.separation import different
from atlas.reviews.situation import Situation

RULE = "reviewers"


def ways_to_approve(situation: Situation, vote: Vote) -> list[Vote]:
    """The vote with each person for whom it can be given; raises RuleRefuses, or NotPermitted.

    A person who may approve decides for themselves, unless they say for whom.
    """
    _check_signed(situation, vote)
    _check_not_ended(situation, vote)
    wanted = _wanted(situation, vote)
    if vote.on_behalf_of is None and may_approve(situation, _of_vote(situation, vote), wanted):
        return [vote]
    by = _delegations(situation, vote, wanted)
    for_others = [replace(vote, on_behalf_of=one.from_person) for one in by]
    if not for_others:
        raise RuleRefuses(rule=RULE, reason=_why_not(situation, vote, wanted))
    return for_others


def _check_signed(situation: Situation, vote: Vote) -> None:
    rules = situation.rules
    is_about_people = situation.reviewers or situation.needed > 1 or rules.is_separate or rules.trainings
    if (is_about_people or vote.on_behalf_of is not None) and not vote.is_signed:
        checked = "a name that is checked: a reviewer's key that has a name, or an account at the desk"
        raise NotPermitted(reason=f"To approve case {situation.case.case_id} takes {checked}.")


def _check_not_ended(situation: Situation, vote: Vote) -> None:
    if vote.is_signed and situation.directory.profile(vote.reviewer).ended_at is not None:
        reason = f"The access of {vote.reviewer} has ended. `python -m atlas.people add` begins it again."
        raise RuleRefuses(rule=RULE, reason=reason)


def may_approve(situation: Situation, profile: Profile, wanted: Collection[str] | None = None) -> bool:
    """Whether the policy, or an escalation, lets a person approve by their own name or group.

    `wanted` are the names and groups that are asked for; None: all of them.
    """
    if not situation.reviewers:
        return True
    own = entries_of(profile)
    return any(one in own for one in (situation.reviewers if wanted is None else wanted))


def is_complete(situation: Situation, given: Sequence[Approval]) -> bool:
    """Whether some approvals are all that it takes: of each list as many as have to."""
    return all(_is_met(situation, one, given) for one in situation.lists)


def _is_met(situation: Situation, reviewers: frozenset[str], given: Sequence[Approval]) -> bool:
    if len(situation.lists) > 1:
        given = [one for one in given if _is_of(situation, reviewers, one)]
    return different(situation, given) >= situation.needed_of_each


def _is_of(situation: Situation, reviewers: frozenset[str], given: Approval) -> bool:
    """Whether an approval was given by, or for, one of a list."""
    return any(one in reviewers for one in _entries_behind(situation, given))


def _entries_behind(situation: Situation, given: Approval) -> tuple[str, ...]:
    """The entries of `reviewers` behind an approval: where it is for another person, the delegated ones."""
    if given.on_behalf_of is None:
        return entries_of(situation.directory.profile(given.reviewer))
    giver = situation.directory.profile(given.on_behalf_of)
    by = situation.delegations_behind(given)
    return tuple(entry for one in by for entry in _delegated(one, giver))


def _delegated(delegation: Delegation, giver: Profile) -> tuple[str, ...]:
    """The entries of `reviewers` that a delegation hands over: all of the giver's, or one group."""
    name = delegation.group_name
    if name is None:
        return entries_of(giver)
    return (GROUP + name,) if name in giver.groups else ()


def _wanted(situation: Situation, vote: Vote) -> frozenset[str]:
    """The names and groups whose approval is still missing, beside what this person has said before."""
    others = [one for one in situation.given if as_seen(one.reviewer) != as_seen(vote.reviewer)]
    missing = [one for one in situation.lists if not _is_met(situation, one, others)]
    return frozenset(name for one in missing or situation.lists for name in one)


def _of_vote(situation: Situation, vote: Vote) -> Profile:
    """The person as the store knows them; what a session says of groups counts where the store has none.

    A session keeps the groups of its own sign-in, and a person may have lost one since.
    """
    profile = situation.directory.profile(vote.reviewer)
    return profile if profile.is_kept else profile.model_copy(update={"groups": profile.groups + vote.groups})


def _delegations(situation: Situation, vote: Vote, wanted: frozenset[str]) -> Iterator[Delegation]:
    """Those by which a person can approve for another, who may; what was delegated is not passed on."""
    whom = None if vote.on_behalf_of is None else as_seen(vote.on_behalf_of)
    for one in situation.directory.gives_to(vote.reviewer):
        giver = situation.directory.profile(one.from_person)
        is_wanted = whom in (None, as_seen(giver.name)) and as_seen(giver.name) not in situation.owners
        if is_wanted and (_is_in_scope(situation, one, giver, wanted)):
            yield one


def _is_in_scope(
    situation: Situation, delegation: Delegation, giver: Profile, wanted: frozenset[str]
) -> bool:
    if delegation.group_name is None:
        return may_approve(situation, giver, wanted)
    return GROUP + delegation.group_name in wanted and delegation.group_name in giver.groups


def _why_not(situation: Situation, vote: Vote, wanted: frozenset[str]) -> str:
    who, case_id = vote.reviewer, situation.case.case_id
    if vote.on_behalf_of is not None:
        return f"{who} does not decide for {vote.on_behalf_of} on case {case_id} now."
    asked = tuple(one for one in situation.reviewers if one in wanted)
    reason = f"The policy lets {named(asked)} approve case {case_id}, not {who}."
    others = [one.from_person for one in situation.directory.gives_to(who)]
    return f"{reason} Nor may {', '.join(others)}, for whom {who} decides." if others else reason


def named(reviewers: tuple[str, ...]) -> str:
    """Names and groups in a sentence."""
    said = (f"the group {one.removeprefix(GROUP)}" if one.startswith(GROUP) else one for one in reviewers)
    return ", ".join(said)


def entries_for(directory: Directory, name: str, groups: tuple[str, ...] = ()) -> tuple[str, ...]:
    """All entries of `reviewers` by which a person may approve, themselves or for another: for a list."""
    profile = directory.profile(name)
    if not profile.is_kept:
        profile = profile.model_copy(update={"groups": profile.groups + groups})
    found = [*entries_of(profile)]
    for one in directory.gives_to(name):
        found += _delegated(one, directory.profile(one.from_person))
    return tuple(dict.fromkeys(found))


def entries_of_person(connection: Connection, person: Person) -> tuple[str, ...]:
    """The same for a person who has come in."""
    return entries_for(Directory(connection), person.name, person.groups if person.is_signed else ())
