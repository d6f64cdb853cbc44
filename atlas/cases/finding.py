"""Finds cases in SQLite: in the order of an index, a stretch at a time, so that no search takes long.

A stretch is as long as the one before was quick. The rows of a stretch are compared with what the index does
not know. Where the time is up the search stops, and its caller goes on from there.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.filters import Filter, Order, Place
from atlas.cases.rounds import of_this_round
from atlas.cases.tables import UNFINISHED, WAITING, approvals, assessments, cases, decisions
from atlas.errors import RequestInvalid
from atlas.instants import instant_text
from atlas.models import TRANSITIONS

SECONDS = 0.1  # after which a search stops, and is gone on with by its caller
SHORTEST, LONGEST = 250, 32_000  # rows of a stretch
NEVER = "9999"  # sorts behind every instant

Condition = sa.ColumnElement[bool]


@dataclass
class Found:
    """What a search has come to."""

    case_ids: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)  # of each
    stopped_at: Place | None = None  # None: there are no more


def find(
    connection: Connection,
    asked: Filter,
    order: Order,
    *,
    after: Place | None,
    limit: int,
    seconds: float = SECONDS,
) -> Found:
    """Up to `limit` cases behind a place; raises RequestInvalid for an order that such a list cannot have."""
    if not order.is_by_time and not asked.is_what_waits:
        raise RequestInvalid(reason=f"The order {order.value} is for status=PENDING_REVIEW alone.")
    found, deadline, rows = Found(stopped_at=after), monotonic() + seconds, max(SHORTEST, 2 * limit)
    search = _Search(asked, order)
    while True:
        began, place = monotonic(), found.stopped_at
        end = search.end_of_stretch(connection, place, rows)
        _take(found, search.matches(connection, place, end, limit - len(found.case_ids)))
        if len(found.case_ids) >= limit:
            found.stopped_at = found.places[-1]
            return found
        found.stopped_at = end
        if end is None or monotonic() >= deadline:
            return found
        if monotonic() - began < seconds / 8:
            rows = min(2 * rows, LONGEST)


def _take(found: Found, rows: Iterator[Place]) -> None:
    for place in rows:
        found.places.append(place)
        found.case_ids.append(place.case_id)


class _Search:
    """The statements of one search."""

    def __init__(self, asked: Filter, order: Order) -> None:
        self._order = order
        self._index, self._led = _leading(asked)
        self._rest = [*_rest(asked)]
        key: dict[Order, Any] = {
            Order.RISKIEST: sa.func.coalesce(assessments.c.risk_score, 100),
            Order.NEAREST_END: sa.func.coalesce(cases.c.expires_at, NEVER),
        }
        self._key = sa.type_coerce(key[order], _plain(order)) if order in key else None
        self._led += [*_opened(asked)]

    def end_of_stretch(self, connection: Connection, after: Place | None, rows: int) -> Place | None:
        """The place so many rows on; None: there are fewer."""
        query = self._select(_table(with_assessments=self._order is Order.RISKIEST))
        query = query.where(*self._behind(after)).order_by(*self._by()).limit(1).offset(rows - 1)
        row = connection.execute(query).first()
        return None if row is None else Place(*row)

    def matches(
        self, connection: Connection, after: Place | None, end: Place | None, limit: int
    ) -> Iterator[Place]:
        """The cases between two places that fulfil all conditions."""
        query = self._select(_table(with_assessments=True, with_decisions=True))
        query = query.where(*self._behind(after), *self._up_to(end), *self._rest)
        for row in connection.execute(query.order_by(*self._by()).limit(limit)):
            yield Place(*row)

    def _select(self, table: sa.FromClause) -> sa.Select[Any]:
        at = sa.type_coerce(cases.c.opened_at, sa.String)
        query = sa.select(self._key if self._key is not None else at, at, cases.c.case_id)
        return (
            query.select_from(table).with_hint(cases, f"INDEXED BY {self._index}", "sqlite").where(*self._led)
        )

    def _by(self) -> list[Any]:
        if self._order is Order.NEWEST:
            return [cases.c.opened_at.desc(), cases.c.case_id.desc()]
        by_time = [cases.c.opened_at, cases.c.case_id]
        if self._key is None:
            return by_time
        return [self._key.desc() if self._order is Order.RISKIEST else self._key, *by_time]

    def _behind(self, place: Place | None) -> list[Condition]:
        return [] if place is None else [self._compared(place, is_behind=True)]

    def _up_to(self, place: Place | None) -> list[Condition]:
        return [] if place is None else [self._compared(place, is_behind=False)]

    def _compared(self, place: Place, *, is_behind: bool) -> Condition:
        """The condition that a row stands behind a place in this order, or not behind it."""
        time = sa.tuple_(sa.type_coerce(cases.c.opened_at, sa.String), cases.c.case_id)
        there = sa.tuple_(sa.literal(place.opened_at), sa.literal(place.case_id))
        if self._order is Order.NEWEST:
            return time < there if is_behind else time >= there
        later = time > there if is_behind else time <= there
        if self._key is None:
            return later
        key = sa.literal(place.key)
        further = self._key < key if (self._order is Order.RISKIEST) is is_behind else self._key > key
        return sa.or_(further, sa.and_(self._key == key, later))


def _plain(order: Order) -> Any:
    return sa.Integer() if order is Order.RISKIEST else sa.String()


def _table(*, with_assessments: bool = False, with_decisions: bool = False) -> sa.FromClause:
    table: sa.FromClause = cases
    if with_assessments:
        table = table.outerjoin(assessments, of_this_round(assessments))
    return table.outerjoin(decisions, of_this_round(decisions)) if with_decisions else table


def _leading(asked: Filter) -> tuple[str, list[Any]]:
    """The index that is gone along, and the conditions that it answers."""
    if asked.is_what_waits:
        return "ix_cases_waiting", [WAITING]
    if asked.agent is not None:
        return "ix_cases_principal_opened_at", [cases.c.principal == asked.agent]
    if asked.tool is not None:
        return "ix_cases_tool_name_opened_at", [cases.c.tool_name == asked.tool]
    if asked.statuses and len(asked.statuses) == 1:
        return "ix_cases_status_opened_at", [cases.c.status == asked.statuses[0].value]
    if asked.statuses and all(status in TRANSITIONS for status in asked.statuses):
        return "uq_cases_unfinished", [UNFINISHED]
    return "ix_cases_opened_at", []


def _opened(asked: Filter) -> Iterator[Condition]:
    at = sa.type_coerce(cases.c.opened_at, sa.String)
    if asked.opened_after is not None:
        yield at >= instant_text(asked.opened_after)
    if asked.opened_before is not None:
        yield at < instant_text(asked.opened_before)


def _rest(asked: Filter) -> Iterator[Condition]:
    """The conditions for which a row is looked at."""
    if asked.statuses and not asked.is_what_waits:
        yield cases.c.status.in_([status.value for status in asked.statuses])
    if asked.agent is not None:
        yield cases.c.principal == asked.agent
    if asked.tool is not None:
        yield cases.c.tool_name == asked.tool
    if asked.reviewer is not None:
        yield decisions.c.reviewer == asked.reviewer
    if asked.score_at_least is not None:
        yield assessments.c.risk_score >= asked.score_at_least
    if asked.group is not None:
        yield _is_named(asked.group)
    if asked.is_waiting_for is not None:
        every = sa.func.coalesce(sa.func.json_array_length(assessments.c.ruling, "$.reviewers"), 0) == 0
        yield sa.or_(every, _is_named(asked.is_waiting_for))
    if asked.q is not None and asked.q.strip():
        yield _says(asked.q.strip())


def _is_named(name: str) -> Condition:
    """Whether the policy names someone for the decision."""
    named = sa.func.json_each(assessments.c.ruling, "$.reviewers").table_valued("value")
    return sa.exists().where(named.c.value == name)


def _says(text: str) -> Condition:
    """Whether a text stands in what a person can read of a case; capitals do not matter."""
    columns = (
        *(cases.c.case_id, cases.c.tool_name, cases.c.principal, cases.c.intent, cases.c.user_request),
        *(assessments.c.rationale, decisions.c.reviewer, decisions.c.reason),
    )
    spelled = sorted({_folded(text), _folded(text.lower()), _folded(text.upper())})
    stored = sorted({json.dumps(one)[1:-1] for one in spelled})
    counted = sa.exists().where(
        approvals.c.case_id == cases.c.case_id,
        sa.or_(*(_has(column, spelled) for column in (approvals.c.reviewer, approvals.c.reason))),
    )
    said = [*(_has(column, spelled) for column in columns), _has(cases.c.arguments, stored), counted]
    return sa.or_(*said)


def _folded(text: str) -> str:
    """The text in the capitals of which LIKE makes no difference: those of ASCII."""
    return "".join(character.lower() if character.isascii() else character for character in text)


def _has(column: sa.ColumnElement[Any], texts: list[str]) -> Condition:
    return sa.or_(*(column.like(f"%{_escaped(text)}%", escape="!") for text in texts))


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
