"""The rules for people as a model states them: who may approve, for whom, and which rule is against it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from atlas.review_rules import GROUP, ReviewRules


@dataclass
class Tie:
    """A delegation."""

    giver: str
    to: str
    group: str | None
    begins: datetime
    ends: datetime

    def holds(self, at: datetime) -> bool:
        """Whether it holds then."""
        return self.begins <= at < self.ends


@dataclass(frozen=True)
class Yes:
    """An approval."""

    who: str
    whom: str | None
    at: datetime

    @property
    def names(self) -> frozenset[str]:
        """Whose authority it is."""
        return frozenset({self.who, self.whom or self.who})


@dataclass
class Policy:
    """What the policy says of every call."""

    number: int = 0
    reviewers: tuple[str, ...] = ()
    approvals: int = 1
    is_denied: bool = False
    review: ReviewRules = field(default_factory=ReviewRules)


@dataclass
class ModelCase:
    """What is known of a case."""

    case_id: str
    key: int
    policy: Policy  # under which its newest round was judged
    waits_until: datetime
    since: datetime
    status: str = "PENDING_REVIEW"
    round_number: int = 1
    n: int = 0  # the argument in force; the agent proposed 0
    given: list[Yes] = field(default_factory=list)  # in this round
    earlier: frozenset[str] = frozenset()  # whose authority earlier rounds had
    decided: Yes | None = None
    rejected_by: str | None = None
    begins: datetime | None = None
    escalated: set[str] = field(default_factory=set)
    more: float = 0.0  # seconds, by which a question has moved what was due in this round
    is_asked: bool = False
    taken_back_by: str | None = None  # whose taking back began this round


@dataclass
class World:
    """People, delegations and time."""

    now: datetime
    groups: dict[str, set[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    trained: dict[str, list[datetime]] = field(default_factory=dict)  # until when
    ties: list[Tie] = field(default_factory=list)
    owners: frozenset[str] = frozenset()

    # The model begins here.
    def ways(self, case: ModelCase, who: str, whom: str | None = None) -> dict[str | None, set[str]]:
        """For whom a person can approve now (None: for themselves), each with the rules against it."""
        if who in self.owners or who in self.ended:
            return {None: {"owner" if who in self.owners else "reviewers"}}
        gone = self.ended | self.owners
        ties = [tie for tie in self.ties if tie.to == who and tie.holds(self.now) and tie.giver not in gone]
        givers = [tie.giver for tie in ties if whom in (None, tie.giver) and self.may(case, tie.giver, tie)]
        ways = [None] if whom is None and self.may(case, who) else givers
        return {way: self.against(case, Yes(who, way, self.now)) for way in ways} or {None: {"reviewers"}}

    def may(self, case: ModelCase, name: str, tie: Tie | None = None) -> bool:
        asked = {*case.policy.reviewers, *case.escalated} if case.policy.reviewers else set()
        own = {GROUP + group for group in self.groups[name]}
        if tie is not None and tie.group is not None:
            return GROUP + tie.group in asked & own
        return not asked or bool(asked & (own | {name}))

    def against(self, case: ModelCase, yes: Yes) -> set[str]:
        strict, at, names = case.policy.review.is_separate, self.now, yes.names
        about = [tie for tie in self.ties if self.is_about(case, tie)]
        is_one = any(self.are_one(case, one, yes) for one in self.counting(case) if one.who != yes.who)
        if strict:
            is_one |= bool(names & case.earlier) or self.are_tied(about, names, case.earlier, at)
            is_one |= self.are_tied(self.ties, names, self.owners, at)
        scopes = case.policy.review.trainings
        untrained = bool(scopes) and not any(until > at for until in self.trained.get(yes.who, ()))
        return ({"separate"} if is_one else set()) | ({"training"} if untrained else set())

    def are_one(self, case: ModelCase, one: Yes, other: Yes) -> bool:
        ties = [tie for tie in self.ties if case.policy.review.is_separate and self.is_about(case, tie)]
        tied = (self.are_tied(ties, one.names, other.names, at) for at in (one.at, other.at))
        return bool(one.names & other.names) or any(tied)

    def are_tied(self, ties: list[Tie], some: Any, others: Any, at: datetime) -> bool:
        pairs = [{tie.giver, tie.to} for tie in ties if tie.holds(at)]
        return any({a, b} in pairs for a in some for b in others)

    def counting(self, case: ModelCase) -> list[Yes]:
        return [yes for yes in case.given if not yes.names & self.owners]

    def is_complete(self, case: ModelCase) -> bool:
        different: list[Yes] = []
        for yes in self.counting(case):
            if not any(self.are_one(case, one, yes) for one in different):
                different.append(yes)
        return len(different) >= case.policy.approvals

    # The model ends here.

    def is_about(self, case: ModelCase, tie: Tie) -> bool:
        """Whether a delegation can be about a case."""
        asked = {*case.policy.reviewers, *case.escalated} if case.policy.reviewers else set()
        return tie.group is None or not asked or GROUP + tie.group in asked
