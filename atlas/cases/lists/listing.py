"""Lists of cases, a line for each: pages by cursor, a count, and all of them for an export.

A line is made without a look at the arguments, which may have a megabyte.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.edits import EDIT_IN_FORCE
from atlas.cases.lists.filters import LONGEST_SEARCH, Filter, Order, Place, cursor_of, place_of
from atlas.cases.lists.finding import SECONDS, find
from atlas.cases.rounds import of_this_round
from atlas.cases.tables import assessments, cases, decisions, outcomes
from atlas.database.database import Database
from atlas.database.dialects import json_list, json_value
from atlas.grounds.seen import digest_of_parts
from atlas.instants import read_instant
from atlas.models import SEEDED, Status, Verdict
from atlas.plans.tables import plan_uses, plans
from atlas.reviews.tables import edits, escalations
from atlas.traces import Trace

__all__ = ["LONGEST_SEARCH", "Filter", "Line", "Order", "Page", "all_lines", "count", "page_of"]

SEEN_PARTS = (
    *("case_id", "round_number", "arguments_sha256", "definition_sha256", "policy_sha256", "risk_score"),
)
BATCH = 500  # lines of an export that are read at a time
MOST_COUNTED = 10_000


@dataclass(frozen=True, kw_only=True)
class Line:
    """A case as a list shows it."""

    case_id: str
    tool_name: str
    principal: str
    status: Status
    opened_at: datetime
    expires_at: datetime | None
    frozen_at: datetime | None
    risk_score: int | None
    classification: str | None
    round_number: int
    decision: Verdict | None
    reviewer: str | None  # who decided
    decided_at: datetime | None
    finished_at: datetime | None
    version: int  # the number of its newest ledger entry
    reviewers: tuple[str, ...]  # who may approve, by the policy and by escalations; none: every reviewer
    rules: tuple[str, ...]  # of the policy, that matched
    arguments_sha256: str
    has_target_from_outside: bool  # it acts on, or sends to, what came from outside alone
    is_score_hidden: bool = False  # by a rule, until a person has decided
    seen_sha256: str = ""  # what an approval of it carries, as it stands here
    plan_by: str | None = None  # whose plan let it pass
    is_seeded: bool = False  # told when it is over: no agent made it


@dataclass(frozen=True)
class Page:
    """Some lines, and where the list goes on.

    A page can have fewer lines than asked for, or none, while there is a cursor: the search has taken its
    time, has come to `looked_until`, and goes on from there.
    """

    lines: tuple[Line, ...]
    next_cursor: str | None
    looked_until: datetime | None = None  # None: there are no more


_VERSION = (
    sa.select(sa.func.max(ledger.entries.c.seq))
    .where(ledger.entries.c.case_id == cases.c.case_id)
    .scalar_subquery()
)
_LINES = sa.select(
    *(
        cases.c[name]
        for name in (
            *("case_id", "tool_name", "principal", "status", "opened_at", "expires_at", "frozen_at"),
            *("round_number", "reported_at", "claimed_by", "definition_sha256"),
        )
    ),
    # Of what is decided on: a person may have changed what the agent proposed.
    sa.func.coalesce(edits.c.arguments_sha256, cases.c.arguments_sha256).label("arguments_sha256"),
    assessments.c.risk_score,
    assessments.c.classification,
    decisions.c.decision,
    decisions.c.reviewer,
    decisions.c.decided_at,
    outcomes.c.finished_at,
    sa.func.coalesce(_VERSION, 0).label("version"),
    json_value(assessments.c.ruling, "reviewers").label("reviewers"),
    sa.select(json_list(escalations.c.to_whom))
    .where(of_this_round(escalations))
    .scalar_subquery()
    .label("escalated"),
    json_value(assessments.c.ruling, "rules").label("rules"),
    json_value(assessments.c.ruling, "policy_sha256").label("policy_sha256"),
    plans.c.made_by.label("plan_by"),
    json_value(assessments.c.ruling, "review", "hides_score").label("hides_score"),
    assessments.c.trace,
).select_from(
    cases.outerjoin(assessments, of_this_round(assessments))
    .outerjoin(decisions, of_this_round(decisions))
    .outerjoin(outcomes, outcomes.c.case_id == cases.c.case_id)
    .outerjoin(plan_uses, of_this_round(plan_uses))
    .outerjoin(plans, plans.c.plan_id == plan_uses.c.plan_id)
    .outerjoin(edits, EDIT_IN_FORCE)
)


async def page_of(
    database: Database,
    asked: Filter,
    *,
    order: Order = Order.NEWEST,
    after: str | None = None,
    limit: int = 50,
    seconds: float = SECONDS,
) -> Page:
    """The next lines of a list; raises RequestInvalid for a wrong cursor, or an order that it cannot have."""
    place = None if after is None else place_of(order, after)
    read = partial(_page, asked=asked, order=order, after=place, limit=limit, seconds=seconds)
    return await database.look(read)


async def count(database: Database, asked: Filter, most: int = MOST_COUNTED) -> int:
    """How many there are, of many or of what takes long to find at least so many."""
    found = await database.look(
        lambda connection: find(connection, asked, Order.NEWEST, after=None, limit=most)
    )
    return len(found.case_ids)


async def all_lines(
    database: Database, asked: Filter, *, order: Order = Order.NEWEST
) -> AsyncIterator[Sequence[Line]]:
    """All lines of a list in batches, however long they take to find."""
    cursor: str | None = None
    while True:
        page = await page_of(database, asked, order=order, after=cursor, limit=BATCH)
        if page.lines:
            yield page.lines
        cursor = page.next_cursor
        if cursor is None:
            return


def lines_of(connection: Connection, case_ids: Sequence[str]) -> tuple[Line, ...]:
    """The lines of some cases, in that order."""
    rows = connection.execute(_LINES.where(cases.c.case_id.in_(case_ids))).mappings()
    lines = {row["case_id"]: _line(row) for row in rows}
    return tuple(lines[case_id] for case_id in case_ids if case_id in lines)


def _page(
    connection: Connection, *, asked: Filter, order: Order, after: Place | None, limit: int, seconds: float
) -> Page:
    found = find(connection, asked, order, after=after, limit=limit + 1, seconds=seconds)
    more = len(found.case_ids) > limit
    end = found.places[limit - 1] if more else found.stopped_at
    lines = lines_of(connection, found.case_ids[:limit])
    if end is None:
        return Page(lines, None)
    return Page(lines, cursor_of(order, end), read_instant(end.opened_at))


def _line(row: Any) -> Line:
    status = Status(row["status"])
    own = (
        *("reported_at", "finished_at", "status", "decision", "reviewers", "escalated", "rules"),
        *("hides_score", "trace", "claimed_by", "definition_sha256", "policy_sha256"),
    )
    named = json.loads(row["reviewers"] or "[]")
    # Before it is decided no list shows what a rule hides: each person would otherwise read it there.
    is_hidden = bool(row["hides_score"]) and status is Status.PENDING_REVIEW
    unscored = {"risk_score": None} if is_hidden else {}
    hidden = unscored | {"classification": None} if is_hidden else {}
    return Line(
        **({name: value for name, value in row.items() if name not in own} | hidden),
        status=status,
        is_score_hidden=is_hidden,
        is_seeded=status.is_final and row["claimed_by"] == SEEDED,
        decision=Verdict(row["decision"]) if row["decision"] else None,
        finished_at=_finished_at(status, row),
        # Where the policy names no one, everyone may approve, and an escalation takes that from no one.
        reviewers=tuple(dict.fromkeys(named + json.loads(row["escalated"] or "[]"))) if named else (),
        rules=tuple(json.loads(row["rules"] or "[]")),
        # Nor does it name a digest that only this score makes: there are 101 of them to try.
        seen_sha256=digest_of_parts(**({name: row[name] for name in SEEN_PARTS} | unscored)),
        has_target_from_outside=_has_target_from_outside(row["trace"]),
    )


def _has_target_from_outside(trace: str | None) -> bool:
    """As Trace.has_target_from_outside says it; most traces have no such word, and are not read."""
    return (
        trace is not None
        and "is_target" in trace
        and Trace.model_validate_json(trace).has_target_from_outside
    )


def _finished_at(status: Status, row: Any) -> datetime | None:
    """As Case.finished_at says it."""
    if not status.is_final:
        return None
    later = row["expires_at"] if status is Status.EXPIRED else row["decided_at"] or row["reported_at"]
    at: datetime | None = row["finished_at"] or later
    return at
