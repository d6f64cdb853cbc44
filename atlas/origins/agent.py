"""What is remembered of one agent: its calls and what it read, in the order in which they happened."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from atlas.models import Case
from atlas.origins.parts import Part
from atlas.origins.remembered import LONG_AGO, MOST_LOADED, Remembered, Said, said_of

MOST_CALLS = 100  # of one agent, with which a call is compared: those to which something happened last
MOST_CHARACTERS = 2_000_000  # of one agent's arguments and answers, with which a call is compared

Session = str | None


class Reading(NamedTuple):
    """That an agent read something beside its calls."""

    seq: int
    session: Session
    at: datetime


@dataclass(eq=False)
class Agent:
    """What is remembered of one agent."""

    calls: dict[str, Remembered]  # in the order of the newest that happened to each
    floor: int  # what happened up to this entry may have been forgotten; 0: nothing was
    readings: list[Reading]
    looked: dict[Session, tuple[datetime, bool]] = field(default_factory=dict)
    size: int = 0  # characters in memory

    def take_in(self, one: Remembered) -> None:
        """Remember a call to which something happened just now, as it is now."""
        before = self.calls.pop(one.case_id, None)
        if before is not None and before.said is not None:
            self.size -= before.said.size
        self.size += one.said.size if one.said is not None else 0
        self.calls[one.case_id] = one

    def read_again(self, case_id: str) -> int:
        """Forget what was said in a call that a person changed, and return by how much the size changes."""
        one = self.calls.get(case_id)
        if one is None or one.said is None:
            return 0
        size, self.calls[case_id] = one.said.size, one.when_edited()
        self.size -= size
        return -size

    def before(self, case: Case, position: int) -> list[Remembered]:
        """What had come before a call, that to which something happened last first; at most one too many."""
        before: list[Remembered] = []
        for one in reversed(self.calls.values()):
            if one.ended is not None and one.ended > position > one.admitted:  # it is judged again
                return in_order(self.calls.values(), position)[: MOST_CALLS + 1]
            if one.admitted < position:
                before.append(one)
                if len(before) > MOST_CALLS:
                    break
        return before

    def said_in(self, connection: Connection, one: Remembered) -> Said:
        """What was said in a call, read once."""
        if one.said is None:
            one.said = said_of(connection, one)
            self.size += one.said.size
        return one.said

    def read_outside(self, connection: Connection, case: Case) -> bool:
        """Whether the session had read from outside before a call; each part of it is looked at once."""
        until, is_outside = self.looked.get(case.call.session, (LONG_AGO, False))
        if until > case.opened_at:  # one that is judged again
            return part_of(case, LONG_AGO).read_outside(connection)
        is_outside = is_outside or part_of(case, until).read_outside(connection)
        self.looked[case.call.session] = case.opened_at, is_outside
        return is_outside

    def forget(self) -> None:
        """Forget calls that are too many, and texts that are too long together."""
        if len(self.calls) <= MOST_LOADED + MOST_CALLS and self.size <= 2 * MOST_CHARACTERS:
            return
        newest = list(self.calls.values())
        for one in newest[:-MOST_CALLS]:
            self.size -= one.said.size if one.said is not None else 0
            one.said = None
            one.records.clear()
        for one in newest[:-MOST_LOADED]:
            self.floor = one.ended or one.admitted
            del self.calls[one.case_id]
        self.looked.clear()


def in_order(calls: Iterable[Remembered], position: int) -> list[Remembered]:
    """Those that had come, that to which something happened last first."""
    before = (one for one in calls if one.admitted < position)
    return sorted(before, key=lambda one: one.newest(position), reverse=True)


def part_of(case: Case, since: datetime) -> Part:
    """The part of the session of a call that came before it."""
    return Part(case.call.principal, case.call.session, since, case.opened_at)
