"""What each person decided in a period, how often they approved and how long they looked, and the group.

A share or a median of less than ten is not told: it says more about chance than about a person.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.attention.tables import openings, second_looks, seeded_cases
from atlas.cases.tables import approvals, cases, decisions
from atlas.database.dialects import seconds_between
from atlas.models import Frozen, Status, Verdict

LEAST = 10  # of which a share or a median is told
LEAST_OTHERS = 3  # persons of whom the group's figures are told to one who is no supervisor
MOST_DECISIONS = 100_000  # that are looked at, the newest first


class Row(Frozen):
    """The figures of one person, or of the group."""

    person: str | None  # None: the group
    decided: int
    approved: int
    rejected: int
    approval_rate: float | None  # None: of less than ten
    looked_at: int  # decisions on calls that the person had opened
    median_seconds: float | None  # from opening a call to the decision
    asked_again: int  # decisions that a rule asked for once more
    seeded: int  # calls that were known to be bad
    seeded_caught: int
    seeded_caught_rate: float | None


class Statistics(Frozen):
    """The figures of a period."""

    since: datetime
    until: datetime
    is_complete: bool  # False: there were more decisions than are looked at
    least: int = LEAST  # of which a share or a median is told
    people: tuple[Row, ...]
    group: Row | None  # of all people; None: they are too few to be no person's figures
    persons: int  # how many decided


class Decided(NamedTuple):
    """A decision, or one of several approvals."""

    reviewer: str
    verdict: str
    seconds: float | None  # since the person opened the call; None: they did not
    is_again: bool
    is_seeded: bool


def statistics_of(
    connection: Connection, *, since: datetime, until: datetime, person: str | None, sees_others: bool
) -> Statistics:
    """The figures; without a look at others, those of this person and of the group."""
    found = [Decided(*row) for row in connection.execute(decided_in(since=since, until=until))]
    by_person: dict[str, list[Decided]] = defaultdict(list)
    for one in found:
        by_person[one.reviewer].append(one)
    shown = sorted(by_person) if person is None else [person]
    others = len(by_person.keys() - {person})
    is_group_told = sees_others or others >= LEAST_OTHERS
    return Statistics(
        since=since,
        until=until,
        is_complete=len(found) < MOST_DECISIONS,
        people=tuple(row_of(name, by_person[name]) for name in shown),
        group=row_of(None, found) if is_group_told else None,
        persons=len(by_person),
    )


def decided_in(*, since: datetime, until: datetime) -> sa.Select[Any]:
    """The newest decisions and approvals of a period, by the indexes on when they were taken."""
    given = sa.union_all(_approved(since, until), _decided(since, until)).subquery("given")
    this = (
        openings.c.case_id == given.c.case_id,
        openings.c.round_number == given.c.round_number,
        openings.c.person == given.c.reviewer,
    )
    again = sa.exists().where(
        second_looks.c.case_id == given.c.case_id,
        second_looks.c.round_number == given.c.round_number,
        second_looks.c.person == given.c.reviewer,
    )
    seconds = seconds_between(openings.c.opened_at, given.c.at)
    return (
        sa.select(
            given.c.reviewer,
            given.c.verdict,
            seconds,
            again,
            _is_known_as_seeded(given.c.case_id),
        )
        .select_from(given.outerjoin(openings, sa.and_(*this)))
        .limit(MOST_DECISIONS)
    )


def _is_known_as_seeded(case_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a case is seeded and over: while one waits, who has approved it does not know it."""
    is_over = (cases.c.case_id == seeded_cases.c.case_id, cases.c.status != Status.PENDING_REVIEW.value)
    return sa.exists().where(seeded_cases.c.case_id == case_id, *is_over)


def _decided(since: datetime, until: datetime) -> sa.Select[Any]:
    return _given(decisions, decisions.c.decision, since, until)


def _approved(since: datetime, until: datetime) -> sa.Select[Any]:
    """The approvals but for the last one of each case, which is its decision too."""
    last = sa.exists().where(
        decisions.c.case_id == approvals.c.case_id,
        decisions.c.round_number == approvals.c.round_number,
        decisions.c.reviewer == approvals.c.reviewer,
    )
    return _given(approvals, sa.literal(Verdict.APPROVED.value), since, until, ~last)


def _given(
    table: sa.Table, verdict: Any, since: datetime, until: datetime, *more: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    at = sa.type_coerce(table.c.decided_at, sa.String)
    columns = (
        table.c.case_id,
        table.c.round_number,
        table.c.reviewer,
        verdict.label("verdict"),
        at.label("at"),
    )
    inside = (table.c.decided_at >= since, table.c.decided_at < until, *more)
    newest = sa.select(*columns).where(*inside).order_by(table.c.decided_at.desc())
    return sa.select(newest.limit(MOST_DECISIONS).subquery())


def row_of(person: str | None, decided: Iterable[Decided]) -> Row:
    """The figures of some decisions."""
    found = list(decided)
    approved = sum(one.verdict == Verdict.APPROVED.value for one in found)
    seconds = [one.seconds for one in found if one.seconds is not None]
    seeded = [one for one in found if one.is_seeded]
    caught = sum(one.verdict == Verdict.REJECTED.value for one in seeded)
    return Row(
        person=person,
        decided=len(found),
        approved=approved,
        rejected=len(found) - approved,
        approval_rate=_share(approved, len(found)),
        looked_at=len(seconds),
        median_seconds=round(statistics.median(seconds), 1) if len(seconds) >= LEAST else None,
        asked_again=sum(one.is_again for one in found),
        seeded=len(seeded),
        seeded_caught=caught,
        seeded_caught_rate=_share(caught, len(seeded)),
    )


def _share(count: int, of: int) -> float | None:
    return round(count / of, 3) if of >= LEAST else None
