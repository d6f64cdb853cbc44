"""Who is told of a notice: who may decide on its case, or whom it names.

Never the person who caused it, and never the owner of the agent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.engine import Connection

from atlas.models import Case, Status, as_seen
from atlas.outbox.notices import Kind
from atlas.people.records.directory import Directory
from atlas.people.records.profiles import Profile, is_named
from atlas.reviews.permission import candidates, may_decide
from atlas.reviews.recording import Timed, is_overdue
from atlas.reviews.situation import Situation


@dataclass(frozen=True)
class Notice:
    """A notice as it is in the store."""

    notice_id: str
    kind: Kind
    case_id: str | None
    round_number: int | None
    content: Mapping[str, Any]
    made_at: datetime

    @property
    def to(self) -> tuple[str, ...] | None:
        """The names and groups that it is for; None: all whom it concerns."""
        return None if self.content.get("to") is None else tuple(self.content["to"])

    @property
    def by(self) -> str | None:
        """Who caused it, and knows."""
        return self.content.get("by")

    def is_over(self, case: "Stands | None") -> bool:
        """Whether it asks for a decision that no one can give any more."""
        return self.kind.asks and case is not None and not _waits(case, self.round_number)


class Stands(Timed, Protocol):
    """A case, whole or as a row."""

    @property
    def status(self) -> Status:
        """Its status."""

    @property
    def round_number(self) -> int:
        """The round in which it is."""


def _waits(case: Stands, round_number: int | None) -> bool:
    return case.status.is_undecided and case.round_number == round_number and not is_overdue(case)


def persons_told(
    connection: Connection,
    notice: Notice,
    case: Case | None,
    *,
    directory: Directory,
    owners: frozenset[str],
) -> list[Profile]:
    """The people whom a notice is for; `directory` has those with channels of their own.

    With no case, as of an end, which is told to those who were asked: all of them. A personal notice is for
    those whom it names: everyone at the desk may read every case, also those who may not approve it.
    """
    is_by_rules = not notice.kind.is_personal
    situation = Situation(connection, case, owners, directory) if case and is_by_rules else None
    named = [
        person
        for person in (candidates(situation) if situation else directory.people)
        if person.is_there
        and as_seen(person.name) not in owners
        and not _is(notice.by, person)
        and (notice.to is None or is_named(person, notice.to))
    ]
    asks = notice.kind.asks
    return [one for one in named if situation is None or may_decide(situation, one.name, is_asked=asks)]


def _is(name: str | None, person: Profile) -> bool:
    return name is not None and as_seen(name) == as_seen(person.name)
