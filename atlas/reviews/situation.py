"""What is known of a case and of people when it is asked who may approve it: for one person, or for all."""

from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.store import read_approvals
from atlas.cases.tables import approvals, decisions
from atlas.instants import now
from atlas.models import Approval, Case, Ruling, as_seen
from atlas.people.owners import not_of
from atlas.people.records.delegations import Delegation, delegations_of
from atlas.people.records.directory import Directory
from atlas.review_rules import ReviewRules, group_of
from atlas.reviews.tables import escalations

NO_RULES = ReviewRules()


class Situation:
    """Reads what the rules ask for, once each."""

    def __init__(
        self,
        connection: Connection,
        case: Case,
        owners: frozenset[str] = frozenset(),
        directory: Directory | None = None,
    ) -> None:
        """`owners` are those of the agent, as their names are seen."""
        self._connection = connection
        self.case = case
        self.owners = owners
        self.directory = directory or Directory(connection)
        self.at = now()

    @property
    def ruling(self) -> Ruling | None:
        """What the policy says of the call."""
        return self.case.assessment.ruling if self.case.assessment else None

    @property
    def rules(self) -> ReviewRules:
        """What the policy asks of the review."""
        return self.ruling.review if self.ruling else NO_RULES

    @property
    def needed(self) -> int:
        """How many people have to approve."""
        return self.case.assessment.approvals if self.case.assessment else 1

    @cached_property
    def reviewers(self) -> tuple[str, ...]:
        """The names and groups that may approve; none: everyone. Those to whom it went are among them."""
        named = self.ruling.reviewers if self.ruling else ()
        return tuple(dict.fromkeys((*named, *self._escalated))) if named else ()

    def delegations_behind(self, given: Approval) -> tuple[Delegation, ...]:
        """Those by which a person gave an approval for another one, at its moment."""
        found = delegations_of(self._connection, [given.reviewer])
        pair = (as_seen(given.on_behalf_of or ""), as_seen(given.reviewer))
        return tuple(
            one
            for one in found
            if (as_seen(one.from_person), as_seen(one.to_person)) == pair and one.holds_at(given.decided_at)
        )

    @cached_property
    def lists(self) -> tuple[frozenset[str], ...]:
        """The lists of which each has to approve; mostly it is one."""
        several = self.ruling.each_of if self.ruling else ()
        return tuple(map(frozenset, several or (self.reviewers,)))

    @property
    def needed_of_each(self) -> int:
        """How many people of each list have to approve."""
        return self.needed // len(self.lists)

    @cached_property
    def _escalated(self) -> tuple[str, ...]:
        # Where each of several lists has to approve, a step of one rule speaks for none of the others.
        if self.ruling is not None and self.ruling.each_of:
            return ()
        return escalated_to(self._connection, self.case)

    @cached_property
    def groups(self) -> frozenset[str]:
        """The groups that are named."""
        return frozenset(name for one in self.reviewers if (name := group_of(one)) is not None)

    @cached_property
    def given(self) -> tuple[Approval, ...]:
        """The approvals of this round that count."""
        return tuple(not_of(self.owners, read_approvals(self._connection, self.case)))

    @cached_property
    def earlier(self) -> frozenset[str]:
        """Who approved the case, or a part of it, in an earlier round, and for whom."""
        names: set[str | None] = set()
        for table in (approvals, decisions):
            columns = (table.c.reviewer, table.c.on_behalf_of)
            before = (table.c.case_id == self.case.case_id, table.c.round_number < self.case.round_number)
            for row in self._connection.execute(sa.select(*columns).where(*before)):
                names.update(row)
        return frozenset(name for name in names if name is not None)

    @cached_property
    def ties(self) -> tuple[Delegation, ...]:
        """The delegations from and to those who approved, now or in an earlier round, that are about it."""
        names = {name for one in self.given for name in (one.reviewer, one.on_behalf_of) if name}
        found = delegations_of(self._connection, names | self.earlier)
        return tuple(one for one in found if self.is_about(one))

    def is_about(self, delegation: Delegation) -> bool:
        """Whether a delegation can be about this case."""
        return delegation.group_name is None or not self.reviewers or delegation.group_name in self.groups


def escalated_to(connection: Connection, case: Case) -> tuple[str, ...]:
    """To whom a case went in this round because it waited too long: names, and groups."""
    this = (escalations.c.case_id == case.case_id, escalations.c.round_number == case.round_number)
    query = sa.select(escalations.c.to_whom).where(*this).order_by(escalations.c.step)
    return tuple(connection.scalars(query))
