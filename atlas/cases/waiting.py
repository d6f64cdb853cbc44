"""How many calls wait for a decision. They are counted only where a limit may have been met since last time.

Each call that comes to wait is an entry of the ledger. So there are at most as many more of them as entries
were written since they were counted, whichever gateway wrote them.
"""

from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.tables import UNDECIDED, cases
from atlas.database.statements import Prepared
from atlas.models import SEEDED

_IS_OF_AGENT = sa.text(f"COALESCE(cases.claimed_by, '') <> '{SEEDED}'")  # and not made by the gateway
_newest = sa.select(sa.func.max(ledger.entries.c.seq)).scalar_subquery()
# No row: the entry is not there, because what it was written with has been undone.
_ENTRIES_SINCE = Prepared(
    sa.select(_newest - ledger.entries.c.seq).where(
        ledger.entries.c.seq == sa.bindparam("seq"),
        ledger.entries.c.entry_hash == sa.bindparam("entry_hash"),
    )
)
_wait: sa.Select[Any] = (
    sa.select(sa.literal_column("1"))
    .select_from(cases)
    .where(UNDECIDED, _IS_OF_AGENT)
    .limit(sa.bindparam("most"))
)
_OF_ALL = Prepared(sa.select(sa.func.count()).select_from(_wait.subquery()))
_own = _wait.where(cases.c.principal == sa.bindparam("agent"))
# The index by its name: SQLite takes another one by itself, and goes through all cases of the agent.
_OF_AGENT = Prepared(
    sa.text(
        "SELECT count(*) FROM (SELECT 1 FROM cases INDEXED BY ix_cases_undecided"  # noqa: S608  (a constant)
        f" WHERE {UNDECIDED.text} AND cases.principal = :agent AND {_IS_OF_AGENT.text} LIMIT :most)"
    ),
    postgresql=sa.select(sa.func.count()).select_from(_own.subquery()),
)


class Waiting(NamedTuple):
    """Calls of an agent, and of all agents, that no one has decided."""

    of_agent: int
    of_all: int

    def reaches(self, limits: "Waiting") -> bool:
        """Whether there are as many as a limit allows."""
        return self.of_agent >= limits.of_agent or self.of_all >= limits.of_all


class _Counted(NamedTuple):
    waiting: Waiting
    end: ledger.Place  # of the ledger, in the moment of the count


class WaitingCalls:
    """Knows how many calls wait, in the transactions of one process."""

    def __init__(self) -> None:
        self._counted: dict[str, _Counted] = {}  # by the names of agents

    def of(self, connection: Connection, agent: str, limits: Waiting) -> Waiting:
        """No fewer than there are; where a limit is reached just as many, counted up to the limits."""
        known = self._known(connection, agent)
        if known is not None and not known.reaches(limits):
            return known
        waiting = _count(connection, agent, limits)
        self._counted[agent] = _Counted(waiting, ledger.head(connection))
        return waiting

    def _known(self, connection: Connection, agent: str) -> Waiting | None:
        counted = self._counted.get(agent)
        if counted is None:
            return None
        since = _ENTRIES_SINCE.first(connection, counted.end._asdict())
        return None if since is None else Waiting(*(number + since[0] for number in counted.waiting))


def _count(connection: Connection, agent: str, limits: Waiting) -> Waiting:
    own = _OF_AGENT.first(connection, {"agent": agent, "most": limits.of_agent})
    everyone = _OF_ALL.first(connection, {"most": limits.of_all})
    return Waiting(int(own[0]), int(everyone[0]))
