"""Finds cases in SQLite: in the order of an index, a stretch at a time, so that no search takes long.

A stretch is as long as the one before was quick. The rows of a stretch are compared with what the index does
not know. Where the time is up the search stops, and its caller goes on from there.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.edits import EDIT_IN_FORCE
from atlas.cases.lists.filters import Filter, Order, Place
from atlas.cases.rounds import of_this_round
from atlas.cases.tables import UNFINISHED, WAITING, approvals, assessments, cases, decisions
from atlas.database.dialects import (
    is_like,
    json_elements,
    json_length,
    json_value,
    without_index,
    without_order,
)
from atlas.errors import RequestInvalid
from atlas.instants import instant_text
from atlas.models import TRANSITIONS, Status
from atlas.review_rules import GROUP
from atlas.reviews.claims import is_aside, is_assigned
from atlas.reviews.tables import edits, escalations

SECONDS = 0.1  # after which a search stops, and is gone on with by its caller
SHORTEST, LONGEST = 250, 32_000  # rows of a stretch
NEVER = "9999"  # sorts behind every instant

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True)
class Found:
    """What a search has come to."""

    places: list[Place]  # of what was found
    stopped_at: Place | None  # None: there are no more

    @property
    def case_ids(self) -> list[str]:
        """The references, in order."""
        return [place.case_id for place in self.places]


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
    search = _Search(asked, order)
    stretches = search.by_time if order.is_by_time else search.by_key
    places: list[Place] = []
    pace = _Pace(rows=max(SHORTEST, 2 * limit), seconds=seconds)
    for matches, end in stretches(connection, after, pace, limit):
        places += matches
        if len(places) >= limit:
            return Found(places[:limit], places[limit - 1])
        if end is None or pace.is_over():
            return Found(places, end)
    return Found(places, None)


class _Pace:
    """How many rows a stretch has, and when the time of a search is up."""

    def __init__(self, *, rows: int, seconds: float) -> None:
        self.rows = rows
        self._seconds = seconds
        self._began = self._last = monotonic()

    def is_over(self) -> bool:
        """Whether the time is up; if not, and the last stretch was quick, the next one is longer."""
        before, self._last = self._last, monotonic()
        if self._last - before < self._seconds / 8:
            self.rows = min(2 * self.rows, LONGEST)
        return self._last - self._began >= self._seconds


Stretches = Iterator[tuple[list[Place], Place | None]]  # what was found, and where the stretch ends


class _Search:
    """The statements of one search."""

    def __init__(self, asked: Filter, order: Order) -> None:
        self._order = order
        self._led = [*_leading(asked), *_opened(asked)]
        self._time: list[Any] = [sa.type_coerce(cases.c.opened_at, sa.String), cases.c.case_id]
        if _is_about_unfinished(asked):
            self._time = [without_order(column) for column in self._time]
        self._rest = [*_rest(asked)]
        self._said = _says(asked.q.strip()) if asked.q and asked.q.strip() else None
        key: dict[Order, Any] = {
            Order.RISKIEST: _SHOWN_WHILE_IT_WAITS,
            Order.NEAREST_END: _END,
        }
        self._key = key.get(order)

    def by_time(self, connection: Connection, after: Place | None, pace: _Pace, limit: int) -> Stretches:
        """Along the index, from one place to the next."""
        said = [] if self._said is None else [self._said]
        while True:
            end = self._end_of_stretch(connection, after, pace.rows)
            query = self._select(*self._behind(after), *self._up_to(end), *self._rest, *said)
            yield _places(connection, query.limit(limit)), end
            if end is None:
                return
            after = end

    def by_key(self, connection: Connection, after: Place | None, pace: _Pace, limit: int) -> Stretches:
        """All that wait are sorted at once; only for a text the rows themselves are looked at, by and by."""
        query = self._select(*self._behind(after), *self._rest)
        if self._said is None:
            places = _places(connection, query.limit(limit))
            yield places, places[-1] if len(places) == limit else None
            return
        places = _places(connection, query)
        while places:
            some, places = places[: pace.rows], places[pace.rows :]
            ids = cases.c.case_id.in_([place.case_id for place in some])
            named = sa.select(cases.c.case_id).select_from(_TABLE).where(ids, self._said)
            matching = set(connection.execute(named).scalars())
            yield [place for place in some if place.case_id in matching], some[-1] if places else None

    def _end_of_stretch(self, connection: Connection, after: Place | None, rows: int) -> Place | None:
        """The place so many rows on; None: there are fewer."""
        query = self._select(*self._behind(after), table=cases).limit(1).offset(rows - 1)
        return next(iter(_places(connection, query)), None)

    def _select(self, *conditions: Condition, table: sa.FromClause | None = None) -> sa.Select[Any]:
        at = sa.type_coerce(cases.c.opened_at, sa.String)
        query = sa.select(self._key if self._key is not None else at, at, cases.c.case_id)
        query = query.select_from(_TABLE if table is None else table).where(*self._led, *conditions)
        return query.order_by(*self._by())

    def _by(self) -> list[Any]:
        if self._order is Order.NEWEST:
            return [column.desc() for column in self._time]
        if self._key is None:
            return self._time
        return [self._key.desc() if self._order is Order.RISKIEST else self._key, *self._time]

    def _behind(self, place: Place | None) -> list[Condition]:
        return [] if place is None else [self._compared(place, is_behind=True)]

    def _up_to(self, place: Place | None) -> list[Condition]:
        return [] if place is None else [self._compared(place, is_behind=False)]

    def _compared(self, place: Place, *, is_behind: bool) -> Condition:
        """The condition that a row stands behind a place in this order, or not behind it."""
        time = sa.tuple_(*self._time)
        there = sa.tuple_(sa.literal(place.opened_at), sa.literal(place.case_id))
        if self._order is Order.NEWEST:
            return time < there if is_behind else time >= there
        later = time > there if is_behind else time <= there
        if self._key is None:
            return later
        key = sa.literal(place.key)
        further = self._key < key if (self._order is Order.RISKIEST) is is_behind else self._key > key
        return sa.or_(further, sa.and_(self._key == key, later))


# What no condition speaks of is not joined: SQLite leaves it out.
_TABLE = cases.outerjoin(assessments, of_this_round(assessments)).outerjoin(
    decisions, of_this_round(decisions)
)
# As migration 0014 wrote them for the indexes of PostgreSQL: by these two what waits is sorted.
_SHOWN_WHILE_IT_WAITS = sa.func.coalesce(cases.c.shown_score, sa.literal_column("100", sa.Integer))
_END = sa.func.coalesce(sa.type_coerce(cases.c.expires_at, sa.String), sa.literal_column(f"'{NEVER}'"))
# Neither an order nor a filter tells the score that a rule hides: it counts as 100 until it is decided.
_HIDES = json_value(assessments.c.ruling, "review", "hides_score").is_not(None)
_SCORE_SHOWN = sa.case(
    (sa.and_(cases.c.status == Status.PENDING_REVIEW.value, _HIDES), 100),
    else_=assessments.c.risk_score,
)
_DECIDED = decisions.alias("decided")


def _places(connection: Connection, query: sa.Select[Any]) -> list[Place]:
    return [Place(*row) for row in connection.execute(query)]


def _is_about_unfinished(asked: Filter) -> bool:
    is_led = asked.is_what_waits or asked.agent is not None or asked.tool is not None
    return bool(asked.statuses) and not is_led and all(status in TRANSITIONS for status in asked.statuses)


def _leading(asked: Filter) -> list[Any]:
    """The condition that an index answers in the order of time: ix_cases_waiting and its like."""
    if asked.is_what_waits:
        return [WAITING]
    if asked.agent is not None:
        return [cases.c.principal == asked.agent]
    if asked.tool is not None:
        return [cases.c.tool_name == asked.tool]
    return [UNFINISHED] if _is_about_unfinished(asked) else []


def _opened(asked: Filter) -> Iterator[Condition]:
    at = sa.type_coerce(cases.c.opened_at, sa.String)
    if asked.opened_after is not None:
        yield at >= instant_text(asked.opened_after)
    if asked.opened_before is not None:
        yield at < instant_text(asked.opened_before)


def _rest(asked: Filter) -> Iterator[Condition]:
    """The conditions for which a row is looked at."""
    if asked.statuses and not asked.is_what_waits:
        yield without_index(cases.c.status).in_([status.value for status in asked.statuses])
    if asked.agent is not None and asked.is_what_waits:
        yield without_index(cases.c.principal) == asked.agent
    if asked.tool is not None and (asked.is_what_waits or asked.agent is not None):
        yield without_index(cases.c.tool_name) == asked.tool
    if asked.reviewer is not None:
        yield sa.exists().where(_DECIDED.c.reviewer == asked.reviewer, of_this_round(_DECIDED))
    if asked.score_at_least is not None and asked.is_what_waits:
        yield sa.literal(asked.score_at_least) <= _SHOWN_WHILE_IT_WAITS
    elif asked.score_at_least is not None:
        # Not without the function: SQLite would begin with all assessments.
        yield sa.func.coalesce(_SCORE_SHOWN, -1) >= asked.score_at_least
    if asked.group is not None:
        yield _is_named((asked.group, GROUP + asked.group))
    if asked.not_aside_for is not None:
        yield ~is_aside(asked.not_aside_for)
    if asked.assigned_to is not None:
        yield is_assigned(asked.assigned_to)
    if asked.is_waiting_for is not None:
        every = sa.func.coalesce(json_length(assessments.c.ruling, "reviewers"), 0) == 0
        yield sa.or_(every, _is_named(asked.is_waiting_for), _went_to(asked.is_waiting_for))


def _is_named(entries: Sequence[str]) -> Condition:
    """Whether the policy names one of some people and groups for the decision."""
    named = json_elements(assessments.c.ruling, "reviewers").table_valued("value")
    return sa.exists().where(named.c.value.in_(entries))


def _went_to(entries: Sequence[str]) -> Condition:
    """Whether the case went to one of them because it waited too long."""
    return sa.exists().where(of_this_round(escalations), escalations.c.to_whom.in_(entries))


def _says(text: str) -> Condition:
    """Whether a text stands in what a person can read of a case; capitals do not matter."""
    columns = (
        *(cases.c.case_id, cases.c.tool_name, cases.c.principal, cases.c.intent, cases.c.user_request),
        *(decisions.c.reviewer, decisions.c.reason),
    )
    spelled = sorted({_folded(text), _folded(text.lower()), _folded(text.upper())})
    stored = sorted({json.dumps(one)[1:-1] for one in spelled})
    counted = sa.exists().where(
        approvals.c.case_id == cases.c.case_id,
        sa.or_(*(_has(column, spelled) for column in (approvals.c.reviewer, approvals.c.reason))),
    )
    said = [*(_has(column, spelled) for column in columns), _has(cases.c.arguments, stored), counted]
    # An edit is looked up only where there is one.
    changed = sa.exists().where(EDIT_IN_FORCE, _has(edits.c.arguments, stored))
    return sa.or_(*said, sa.and_(cases.c.edited_round.is_not(None), changed))


def _folded(text: str) -> str:
    """The text in the capitals of which LIKE makes no difference: those of ASCII."""
    return "".join(character.lower() if character.isascii() else character for character in text)


def _has(column: sa.ColumnElement[Any], texts: list[str]) -> Condition:
    return sa.or_(*(is_like(column, f"%{_escaped(text)}%") for text in texts))


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
