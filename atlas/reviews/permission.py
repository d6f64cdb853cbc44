"""Whether the rules let a person approve a case: the one place where all of them are asked."""

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from atlas.errors import AtlasError, NotPermitted, RuleRefuses
from atlas.frozen import Frozen
from atlas.models import Case, Verdict, as_seen
from atlas.people.owners import check_owner
from atlas.people.person import Person
from atlas.people.records.directory import Directory
from atlas.people.records.profiles import Profile
from atlas.people.votes import Vote
from atlas.reviews.attention import look_again
from atlas.reviews.eligibility import ways_to_approve
from atlas.reviews.passkey import check_passkey
from atlas.reviews.separation import check_separate
from atlas.reviews.situation import Situation
from atlas.reviews.together import check_together
from atlas.reviews.training import check_trained
from atlas.stop.covering import stop_of

STOPPED = "It is stopped. It can be approved when a person has lifted the stop."
NO_ONE: frozenset[str] = frozenset()


class Standing(Frozen):
    """What one person can do with a case now."""

    may_approve: bool
    on_behalf_of: str | None = None  # for whom they would approve
    why_not: str | None = None  # in a sentence, where they may not


def check_may_approve(connection: Connection, case: Case, vote: Vote, owners: frozenset[str]) -> Vote:
    """The vote, with the person for whom it is given; raises RuleRefuses or NotPermitted."""
    vote = check_person(Situation(connection, case, owners), vote)
    check_together(case, vote)
    return check_passkey(connection, case, vote)


def check_person(situation: Situation, vote: Vote) -> Vote:
    """The same by the rules on who may approve alone; of several ways the first that they let pass counts."""
    check_owner(situation.case, vote, situation.owners)
    refusal: RuleRefuses | None = None
    for way in ways_to_approve(situation, vote):
        try:
            check_separate(situation, way)
            check_trained(situation, way)
        except RuleRefuses as refused:
            refusal = refusal or refused
        else:
            return way
    assert refusal is not None  # noqa: S101  (there is a way, or it was refused)
    raise refusal


def standing_of(
    connection: Connection, case: Case, person: Person, owners: frozenset[str] = NO_ONE
) -> Standing:
    """Whether a person may approve a case now, for whom, and why not: what the decision would say too."""
    vote = Vote(
        Verdict.APPROVED,
        reviewer=person.name,
        reason=None,
        is_signed=person.is_signed,
        round_number=case.round_number,
        groups=person.groups,
    )
    situation = Situation(connection, case, owners)
    if case.status.is_not_begun and stop_of(connection, case) is not None:
        return Standing(may_approve=False, why_not=STOPPED)
    if any(as_seen(one.reviewer) == as_seen(person.name) for one in situation.given):
        return Standing(
            may_approve=False, why_not="You have approved it. Another person has to approve it too."
        )
    try:
        way = check_person(situation, vote)
    except NotPermitted as refused:
        return Standing(may_approve=False, why_not=refused.fields["reason"])
    return Standing(may_approve=True, on_behalf_of=way.on_behalf_of)


def who_may(
    connection: Connection,
    case: Case,
    owners: frozenset[str] = NO_ONE,
    directory: Directory | None = None,
) -> tuple[str, ...]:
    """The names of all people who may approve a case now, themselves or for another, in order.

    With a directory of everyone, which was read for many cases, it reads no people again.
    """
    situation = Situation(connection, case, owners, directory or Directory.of_everyone(connection))
    some = candidates(situation)
    return tuple(one.name for one in some if one.is_there and may_decide(situation, one.name))


def candidates(situation: Situation) -> Sequence[Profile]:
    """Those in the directory of a situation who may be among the people who may approve its case, in order.

    Where a rule names people or groups, the others are not even looked at.
    """
    directory = situation.directory
    return directory.those_of(situation.reviewers) if situation.reviewers else directory.people


def may_decide(situation: Situation, name: str, *, is_asked: bool = True) -> bool:
    """Whether a person may approve a case now; or, where they are not asked for it, whether it is for them.

    One who has approved, or counts as one with a person who has, is asked no more, and hears how it ends.
    """
    vote = Vote(Verdict.APPROVED, reviewer=name, reason=None, is_signed=True)
    try:
        check_owner(situation.case, vote, situation.owners)
        ways_to_approve(situation, vote)
        if is_asked:
            check_person(situation, vote)
    except NotPermitted:
        return False
    return not is_asked or all(as_seen(one.reviewer) != as_seen(name) for one in situation.given)


def ask_again(connection: Connection, case: Case, vote: Vote) -> AtlasError | None:
    """What to raise once this is on disk, where a rule asks a person a second time; None: it counts."""
    return look_again(connection, case, vote)
