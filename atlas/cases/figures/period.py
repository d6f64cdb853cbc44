"""The figures of the calls of a period: how they ended, what people decided, how fast, and at which score.

A span of time that is over is counted once, and again when one of its calls that had not ended moves on. So a
page about a hundred thousand calls reads the few that are new.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.figures.spans import Span, midnight, spans_of
from atlas.cases.figures.tallies import Tally, answer_of, band_of, ending_of
from atlas.cases.rounds import of_this_round
from atlas.cases.tables import UNFINISHED, WAITING, assessments, cases, decisions
from atlas.database.database import Database
from atlas.database.dialects import seconds_between
from atlas.database.statements import Prepared
from atlas.instants import now, read_instant
from atlas.models import SEEDED, Status, Verdict
from atlas.plans.tables import plan_uses

LONGEST_DAYS = 90


@dataclass(frozen=True)
class Figures:
    """What is known of the calls of the last days."""

    since: datetime
    until: datetime
    by_day: dict[date, Tally]  # each day of the period in UTC, the oldest first
    all: Tally
    waiting: tuple[timedelta, ...]  # the age of each call that waits now, the youngest first


class FiguresKept:
    """Counts, and keeps what cannot change any more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[Span, Counted] = {}
        self._counting = asyncio.Lock()  # two readers of the page do not count the same

    async def of(self, days: int) -> Figures:
        """The figures of so many days, today included."""
        async with self._counting:
            moment = now()
            unfinished = await self._database.look(_unfinished)
            spans = tuple(spans_of(moment, days))
            counted = await self._count(spans, _by_span(spans, unfinished))
            self._forget(moment, spans)
        ages = sorted(moment - at for at, _, status, _ in unfinished if status is Status.PENDING_REVIEW)
        # In a thread: of many days it takes a while, and agents do not wait for it.
        by_day, whole = await asyncio.to_thread(_summed, spans, counted)
        return Figures(spans[0].begin, moment, by_day, whole, tuple(ages))

    async def _count(self, spans: Sequence[Span], moving: dict[Span, frozenset["Moving"]]) -> list["Counted"]:
        counted = []
        for span in spans:
            kept = self._kept.get(span)
            if kept is None or kept.moving != moving.get(span, frozenset()):
                kept = await self._database.look(partial(_counted, span=span))
                if span.end is not None:
                    self._kept[span] = kept
            counted.append(kept)
        return counted

    def _forget(self, moment: datetime, spans: Sequence[Span]) -> None:
        """Drop the hours of former days and the minutes of former hours, and what is too long ago."""
        oldest = midnight(moment) - timedelta(days=LONGEST_DAYS)
        days = {span for span in self._kept if span.is_day and span.begin >= oldest}
        self._kept = {span: kept for span, kept in self._kept.items() if span in days or span in spans}


Moving = tuple[str, Status, int]  # a call that has not ended: its reference, where it stands, its round


@dataclass(frozen=True)
class Counted:
    """What was counted of a span, and which of its calls had not ended then."""

    tally: Tally
    moving: frozenset[Moving]


def _summed(spans: Sequence[Span], counted: Iterable[Counted]) -> tuple[dict[date, Tally], Tally]:
    """The tally of each day, and of all."""
    by_day, whole = {span.day: Tally() for span in spans}, Tally()
    for span, one in zip(spans, counted, strict=True):
        by_day[span.day].add(one.tally)
        whole.add(one.tally)
    return by_day, whole


# A seeded call counts while it waits, as any other: without it the figures would give it away.
_OF_AGENTS = sa.or_(sa.func.coalesce(cases.c.claimed_by, "") != sa.literal_column(f"'{SEEDED}'"), WAITING)
_MOVING = Prepared(
    sa.select(cases.c.opened_at, cases.c.case_id, cases.c.status, cases.c.round_number)
    .where(UNFINISHED, _OF_AGENTS)
    .order_by(cases.c.opened_at)
)
# Neither do lists tell the score that a rule hides: it counts as 100 until the call is decided.
_SHOWN = sa.func.coalesce(cases.c.shown_score, sa.literal_column("100", sa.Integer))
_SCORE = sa.case(
    (sa.and_(WAITING, assessments.c.risk_score.is_not(None)), _SHOWN), else_=assessments.c.risk_score
)
_ROWS = Prepared(
    sa.select(
        cases.c.case_id,
        cases.c.tool_name,
        cases.c.status,
        cases.c.round_number,
        _SCORE,
        decisions.c.decision,
        decisions.c.reviewer,
        seconds_between(cases.c.opened_at, decisions.c.decided_at),
        plan_uses.c.plan_id,
    )
    .select_from(
        cases.outerjoin(assessments, of_this_round(assessments))
        .outerjoin(decisions, of_this_round(decisions))
        .outerjoin(plan_uses, of_this_round(plan_uses))
    )
    .where(cases.c.opened_at >= sa.bindparam("begin"), cases.c.opened_at < sa.bindparam("end"), _OF_AGENTS)
)
_END_OF_TIME = datetime.max.replace(tzinfo=timezone.utc)


def _unfinished(connection: Connection) -> list[tuple[datetime, str, Status, int]]:
    rows = _MOVING.rows(connection, {})
    return [(read_instant(at), case_id, Status(status), number) for at, case_id, status, number in rows]


def _by_span(
    spans: Sequence[Span], unfinished: Iterable[tuple[datetime, str, Status, int]]
) -> dict[Span, frozenset[Moving]]:
    begins = [span.begin for span in spans]
    found: defaultdict[Span, set[Moving]] = defaultdict(set)
    for at, case_id, status, number in unfinished:
        place = bisect_right(begins, at) - 1
        if place >= 0:
            found[spans[place]].add((case_id, status, number))
    return {span: frozenset(moving) for span, moving in found.items()}


def _counted(connection: Connection, *, span: Span) -> Counted:
    tally, moving = Tally(), set()
    bounds = {"begin": span.begin, "end": span.end or _END_OF_TIME}
    for case_id, tool, stands, number, score, said, reviewer, seconds, plan in _ROWS.rows(connection, bounds):
        status, verdict = Status(stands), Verdict(said) if said else None
        # By a plan a person approved it, before it came; how long a decision took is not counted then.
        answered = verdict or (Verdict.APPROVED if plan else None)
        tally.endings[tool, ending_of(status, answered)] += 1
        tally.answers[band_of(score), answer_of(status, answered)] += 1
        if verdict is not None:
            tally.decided[reviewer, verdict].append(max(0.0, seconds))
        if not status.is_final:
            moving.add((case_id, status, number))
    return Counted(tally, frozenset(moving))
