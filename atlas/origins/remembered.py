"""What the case store says of an agent's calls: when each came and ended, and what was said and answered.

The ledger is the clock: its entries are numbered in the order in which they got to the disk. The clock of the
machine does not matter there, and several processes can write.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.assessors import Earlier
from atlas.cases.definitions import definitions
from atlas.cases.edits import ARGUMENTS_IN_FORCE, EDIT_IN_FORCE
from atlas.cases.rounds import of_this_round
from atlas.cases.tables import assessments, cases, outcomes
from atlas.database.dialects import json_value
from atlas.database.statements import Prepared
from atlas.instants import instant_of, read_instant
from atlas.ledger import Action, entries
from atlas.models import Case
from atlas.origins.results import text_of_result
from atlas.reviews.tables import edits

MOST_LOADED = 200  # calls of one agent that are remembered, so that one which is judged again finds its own
MOST_CHANGES = 2000  # entries of the ledger that are gone through; after more, all is read again
MOST_READINGS = 1000
LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Said(NamedTuple):
    """What is compared of one call and its answer."""

    arguments: dict[str, Any]
    user_request: str | None
    text: str
    is_partly_read: bool
    is_outside: bool
    size: int  # characters


NOT_COMPARED = Said({}, None, "", is_partly_read=True, is_outside=False, size=0)


@dataclass(eq=False, slots=True)
class Remembered:
    """One call; the numbers are those of the ledger's entries about it."""

    case_id: str
    principal: str
    tool_name: str
    session: str | None
    opened_at: datetime
    finished_at: datetime | None
    admitted: int
    ended: int | None  # None: its tool has not answered
    upstream: str | None = None  # the server behind the gateway whose tool it is
    said: Said | None = None  # None: not read yet
    records: dict[tuple[bool, bool, bool], Earlier] = field(default_factory=dict)  # each is made once

    def ended_before(self, position: int) -> bool:
        """Whether its answer was on disk then."""
        return self.ended is not None and self.ended < position

    def newest(self, position: int) -> int:
        """The newest that had happened to it then."""
        return self.ended if self.ended is not None and self.ended < position else self.admitted

    def moments(self, position: int) -> tuple[datetime, datetime]:
        """When it came, and when the newest had happened to it."""
        is_later = self.ended_before(position) and self.finished_at is not None
        return self.opened_at, self.finished_at if is_later and self.finished_at else self.opened_at

    def when_ended(self, change: "Change") -> "Remembered":
        """It with its answer, which is read when it is needed."""
        finished_at = read_instant(change.at)
        return replace(self, ended=change.seq, finished_at=finished_at, said=None, records={})

    def when_edited(self) -> "Remembered":
        """It with what a person changed, which is read when it is needed."""
        return replace(self, said=None, records={})

    def record(self, is_other: bool, is_read: bool, is_compared: bool) -> Earlier:
        """It as the judges see it, and the same object each time."""
        said = self.said if is_compared else NOT_COMPARED
        key = (is_other, is_read, is_compared)
        if said is not None and key not in self.records:
            self.records[key] = Earlier(
                case_id=self.case_id,
                tool_name=self.tool_name,
                upstream=self.upstream,
                arguments=said.arguments,
                result=said.text if is_read else "",
                is_partly_read=said.is_partly_read and (is_read or not is_compared),
                is_outside=said.is_outside and is_read,  # it is judged after its call came
                is_other_session=is_other,
                # Without a session no one says that the same user asked.
                user_request=said.user_request if self.session is not None else None,
            )
        return self.records[key]


class Change(NamedTuple):
    """An entry of the ledger that says something new of what an agent did or read."""

    seq: int
    case_id: str
    action: str
    actor: str
    at: str
    detail: str | None  # of what was read beside calls


def _entry(action: Action) -> sa.ScalarSelect[Any]:
    found = sa.select(sa.func.min(entries.c.seq)).where(
        entries.c.case_id == cases.c.case_id, entries.c.action == sa.literal_column(f"'{action.value}'")
    )
    return found.scalar_subquery()


_UPSTREAM = json_value(definitions.c.definition, "upstream")
_CALL = sa.select(
    cases.c.case_id,
    cases.c.principal,
    cases.c.tool_name,
    cases.c.session,
    cases.c.opened_at,
    outcomes.c.finished_at,
    _entry(Action.ADMITTED).label("admitted"),
    _entry(Action.EXECUTED).label("ended"),
    _UPSTREAM,
).select_from(
    cases.outerjoin(outcomes, outcomes.c.case_id == cases.c.case_id).outerjoin(
        definitions, definitions.c.definition_sha256 == cases.c.definition_sha256
    )
)
_OF_DEFINITION = Prepared(
    sa.select(_UPSTREAM).where(definitions.c.definition_sha256 == sa.bindparam("sha256"))
)
_ONE = Prepared(_CALL.where(cases.c.case_id == sa.bindparam("case_id")))
_OF_AGENT = _CALL.where(cases.c.principal == sa.bindparam("principal"))
_LIMIT: sa.ColumnClause[int] = sa.literal_column(str(MOST_LOADED))
_OPENED = Prepared(
    _OF_AGENT.where(cases.c.opened_at <= sa.bindparam("until"))
    .order_by(cases.c.opened_at.desc(), cases.c.case_id.desc())
    .limit(_LIMIT)
)
_ENDED = Prepared(
    _OF_AGENT.where(cases.c.reported_at <= sa.bindparam("until"))
    .order_by(cases.c.reported_at.desc())
    .limit(_LIMIT)
)
_SAID = Prepared(
    # What the tool was called with: a person may have changed what the agent said.
    sa.select(ARGUMENTS_IN_FORCE, cases.c.user_request, outcomes.c.result, assessments.c.is_outside)
    .select_from(
        cases.outerjoin(outcomes, outcomes.c.case_id == cases.c.case_id)
        .outerjoin(assessments, of_this_round(assessments))
        .outerjoin(edits, EDIT_IN_FORCE)
    )
    .where(cases.c.case_id == sa.bindparam("case_id"))
)
_IS_READING = entries.c.action == sa.literal_column(f"'{Action.READ.value}'")
_CHANGE = sa.select(
    entries.c.seq,
    entries.c.case_id,
    entries.c.action,
    entries.c.actor,
    entries.c.at,
    sa.case((_IS_READING, entries.c.detail)),
)
_CHANGES = Prepared(
    _CHANGE.where(entries.c.seq > sa.bindparam("seen"), entries.c.seq < sa.bindparam("until"))
    .order_by(entries.c.seq)
    .limit(sa.literal_column(str(MOST_CHANGES)))
)
_READINGS = Prepared(
    _CHANGE.where(_IS_READING, entries.c.actor == sa.bindparam("principal"))
    .order_by(entries.c.seq.desc())
    .limit(sa.literal_column(str(MOST_READINGS)))
)


def changes_after(connection: Connection, seen: int, until: int) -> list[Change]:
    """What was written after an entry and before another one, at most MOST_CHANGES."""
    return [Change(*row) for row in _CHANGES.rows(connection, {"seen": seen, "until": until})]


def readings_of(connection: Connection, principal: str) -> list[Change]:
    """What an agent read beside its calls, the oldest first."""
    return [Change(*row) for row in reversed(_READINGS.rows(connection, {"principal": principal}))]


def call_of(connection: Connection, case_id: str) -> Remembered | None:
    """One call; None if the ledger does not have that it was admitted."""
    row = _ONE.first(connection, {"case_id": case_id})
    return None if row is None else next(_calls([row]), None)


def admitted(case: Case, seq: int, *, upstream: str | None) -> Remembered:
    """A call that was admitted just now, with that entry of the ledger."""
    call = case.call
    about = (case.case_id, call.principal, call.tool_name, call.session, case.opened_at)
    return Remembered(*about, None, seq, None, upstream)


def upstream_of(connection: Connection, definition_sha256: str) -> str | None:
    """The server behind the gateway whose tool a definition is of; None for a tool of the gateway itself."""
    row = _OF_DEFINITION.first(connection, {"sha256": definition_sha256})
    return row[0] if row is not None else None


def calls_of(connection: Connection, principal: str, until: datetime) -> tuple[list[Remembered], int]:
    """An agent's newest calls, those that ended last among them; and from which entry on these are all."""
    said = {"principal": principal, "until": until}
    opened, ended = _OPENED.rows(connection, said), _ENDED.rows(connection, said)
    latest_opened, latest_ended = list(_calls(opened)), list(_calls(ended))
    floor = 0
    if len(opened) == MOST_LOADED:
        floor = min((one.admitted for one in latest_opened), default=0)
        if len(ended) == MOST_LOADED:
            floor = max(floor, min((one.ended or one.admitted for one in latest_ended), default=0))
    return list({one.case_id: one for one in latest_opened + latest_ended}.values()), floor


def said_of(connection: Connection, one: Remembered) -> Said:
    """What was said in a call, and what is compared of its answer."""
    row = _SAID.first(connection, {"case_id": one.case_id})
    arguments, user_request, result, is_outside = row
    text, is_partly_read = text_of_result(None if result is None else json.loads(result))
    return Said(
        json.loads(arguments),
        user_request,
        text,
        is_partly_read,
        bool(is_outside),
        len(text) + len(arguments),
    )


def _calls(rows: Any) -> Iterator[Remembered]:
    for case_id, principal, tool_name, session, opened_at, finished_at, admitted, ended, upstream in rows:
        if admitted is not None:  # a case that was never admitted can be no agent's
            finished = None if finished_at is None else instant_of(finished_at)
            opened = instant_of(opened_at)
            about = (case_id, principal, tool_name, session, opened)
            yield Remembered(*about, finished, admitted, ended, upstream)
