"""What changed on the desk after a position of the ledger: which cases, and up to which entry; no more."""

import json

import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.tables import cases
from atlas.models import Frozen, Status

MOST_CASES = 200  # of which one message tells; a page that missed more asks for everything it shows

_STOPPED = (
    sa.select(sa.literal(1))
    .where(ledger.entries.c.seq > sa.bindparam("after"), ledger.entries.c.action.startswith("stop."))
    .limit(1)
)
_CHANGED = (
    sa.select(cases.c.case_id, sa.func.max(ledger.entries.c.seq), cases.c.status)
    .join(cases, cases.c.case_id == ledger.entries.c.case_id)
    .where(
        ledger.entries.c.seq > sa.bindparam("after"),
        # Only those that were put before a person, and those that a person looks at.
        cases.c.expires_at.is_not(None) | cases.c.case_id.in_(sa.bindparam("looked_at", expanding=True)),
    )
    .group_by(cases.c.case_id)
    .limit(MOST_CASES + 1)
)


class News(Frozen):
    """What a page has to ask for again; `version` of a case is the number of its newest ledger entry."""

    after: int  # the entry after which this is told
    at: int  # the newest entry of the ledger
    cases: dict[str, int] = Field(default_factory=dict)  # the version of each case that changed
    waits: tuple[str, ...] = ()  # those of them that wait for a person now
    looks: tuple[str, ...] = ()  # at which other people look now, or no longer
    stops: bool = False  # whether a stop began or ended
    all: bool = False  # whether more changed than is told here

    @property
    def is_empty(self) -> bool:
        """Whether no page has anything to ask for."""
        return not (self.cases or self.looks or self.stops or self.all)

    def event(self, kind: str) -> bytes:
        """The message as server-sent events write it."""
        return f"id: {self.at}\nevent: {kind}\ndata: {self.text()}\n\n".encode()

    def text(self) -> str:
        """The message as JSON, without what it does not tell."""
        told = self.model_dump(exclude_defaults=True, mode="json")
        return json.dumps(told, separators=(",", ":"))


def news_after(connection: Connection, after: int, looked_at: tuple[str, ...] = ()) -> News:
    """What changed after an entry; `looked_at` are cases to tell of that wait for no person."""
    at = ledger.newest(connection)
    if at == after:
        return News(after=after, at=at)
    if after > at:  # the page is older than a restored backup
        return News(after=after, at=at, all=True, stops=True)
    rows = connection.execute(_CHANGED, {"after": after, "looked_at": list(looked_at)}).all()
    return News(
        after=after,
        at=at,
        cases={case_id: version for case_id, version, _ in rows[:MOST_CASES]},
        waits=tuple(row[0] for row in rows[:MOST_CASES] if row[2] == Status.PENDING_REVIEW.value),
        stops=connection.execute(_STOPPED, {"after": after}).first() is not None,
        all=len(rows) > MOST_CASES,
    )
