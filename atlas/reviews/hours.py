"""Working time: weekly hours as people write them, in their zones, and what they make of a length of time.

A moment is working time for a person when the clock on their wall shows one of their hours. Where it is put
forward or back, an hour is missing or comes twice, as it does on the wall.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache

from atlas.instants import LONGEST
from atlas.people.records.hours import Span, spans_of, zone_of

DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)

Stretch = tuple[datetime, datetime]


@dataclass(frozen=True)
class Weekly:
    """The hours of a week in one zone."""

    zone: str | None  # None: UTC
    spans: tuple[Span, ...]


def read_hours(text: str, *, zone: str | None) -> Weekly:
    """Read `mon-fri 09:00-12:30, sat 22:00-06:00`; raises ValueError."""
    zone_of(zone)
    return Weekly(zone, spans_of(text))


@dataclass(frozen=True)
class WorkingTime:
    """When at least one of some people works; without hours of anyone, always."""

    weeks: frozenset[Weekly] = frozenset()

    def after(self, moment: datetime, length: timedelta) -> datetime:
        """When so much working time is over, and after a year at the latest."""
        if not self.weeks or length <= timedelta(0):
            return moment + length
        for begin, end in self._spans(moment):
            if end - begin >= length:
                return begin + length
            length -= end - begin
        return moment + LONGEST

    def between(self, begin: datetime, end: datetime) -> timedelta:
        """How much working time there is from one moment to another, of the first year at most."""
        if not self.weeks:
            return max(end - begin, timedelta(0))
        spans = ((first, min(last, end)) for first, last in self._spans(begin) if first < end)
        return sum((last - first for first, last in spans), timedelta(0))

    def _spans(self, since: datetime) -> Iterator[Stretch]:
        """The working time from a moment on, a year long, in order."""
        since = since.astimezone(timezone.utc)
        until = since + LONGEST
        day = datetime.combine(since.date(), time(), timezone.utc)
        while day < until:
            for begin, end in _spans_of_day(self.weeks, day):
                if end > since and begin < until:
                    yield max(begin, since), min(end, until)
            day += DAY


@lru_cache(maxsize=2000)
def _spans_of_day(weeks: frozenset[Weekly], day: datetime) -> tuple[Stretch, ...]:
    """The working time of one day in UTC, in order, without overlaps."""
    every = sorted(span for week in weeks for span in _spans_of_week(week, day))
    merged: list[Stretch] = []
    for begin, end in every:
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return tuple(merged)


def _spans_of_week(week: Weekly, day: datetime) -> Iterator[Stretch]:
    """The hours of one person that fall into a day in UTC."""
    for begin, end, offset in _offsets(zone_of(week.zone), day):
        midnight = datetime.combine((begin + offset).date(), time(), timezone.utc)
        for there in (midnight, midnight + DAY):
            for span in week.spans:
                if there.weekday() == span.day:
                    first = max(begin, there + span.begin * MINUTE - offset)
                    last = min(end, there + span.end * MINUTE - offset)
                    if first < last:
                        yield first, last


def _offsets(zone: tzinfo, day: datetime) -> Iterable[tuple[datetime, datetime, timedelta]]:
    """The parts of a day in UTC in each of which the clocks of a zone are ahead of UTC by the same."""
    end = day + DAY
    before, after = _offset(zone, day), _offset(zone, end - SECOND)
    if before == after:
        return [(day, end, before)]
    low, high = day, end - SECOND
    while high - low > SECOND:
        middle = low + (high - low) // (2 * SECOND) * SECOND
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return [(day, high, before), (high, end, after)]


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
