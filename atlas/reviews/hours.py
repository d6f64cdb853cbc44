"""Working time: weekly hours as people write them, in their zones, and what they make of a length of time.

A moment is working time for a person when the clock on their wall shows one of their hours. Where it is put
forward or back, an hour is missing or comes twice, as it does on the wall.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from atlas.instants import LONGEST

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
WANTED = "`mon-fri 09:00-17:00`, with commas between several of them"
_PART = re.compile(r"(\w{3})(?:-(\w{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)")

Span = tuple[datetime, datetime]


class HoursInvalid(ValueError):
    """A text does not say working hours."""


@dataclass(frozen=True)
class Weekly:
    """The hours of a week in one zone: (weekday from 0 for Monday, from, until), counted from midnight."""

    zone: str
    hours: tuple[tuple[int, timedelta, timedelta], ...]


def read_hours(text: str, *, zone: str) -> Weekly:
    """Read `mon-fri 09:00-12:30, sat 22:00-06:00`; raises HoursInvalid.

    What ends no later than it begins ends on the next day.
    """
    try:
        ZoneInfo(zone)
        return Weekly(zone, tuple(hours for part in text.lower().split(",") for hours in _read(part.strip())))
    except (ValueError, OSError, LookupError) as error:  # LookupError: an unknown zone
        raise HoursInvalid(f"{text!r} in {zone!r}: working hours are {WANTED}, in a zone") from error


def _read(part: str) -> Iterator[tuple[int, timedelta, timedelta]]:
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(part)
    first, last, *numbers = found.groups()
    begin, end = _of_day(*numbers[:2]), _of_day(*numbers[2:])
    if begin in (DAY, end):
        raise ValueError(part)
    begins = DAYS.index(first)
    for step in range((DAYS.index(last or first) - begins) % 7 + 1):
        yield (begins + step) % 7, begin, end if end > begin else end + DAY


def _of_day(hour: str, minute: str) -> timedelta:
    length = timedelta(hours=int(hour), minutes=int(minute))
    if int(minute) > 59 or length > DAY:
        raise ValueError(f"{hour}:{minute}")
    return length


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

    def _spans(self, since: datetime) -> Iterator[Span]:
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
def _spans_of_day(weeks: frozenset[Weekly], day: datetime) -> tuple[Span, ...]:
    """The working time of one day in UTC, in order, without overlaps."""
    every = sorted(span for week in weeks for span in _spans_of_week(week, day))
    merged: list[Span] = []
    for begin, end in every:
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return tuple(merged)


def _spans_of_week(week: Weekly, day: datetime) -> Iterator[Span]:
    """The hours of one person that fall into a day in UTC."""
    for begin, end, offset in _offsets(ZoneInfo(week.zone), day):
        midnight = datetime.combine((begin + offset).date(), time(), timezone.utc)
        for there in (midnight - DAY, midnight, midnight + DAY):  # the day before goes on after midnight
            for weekday, first, last in week.hours:
                if there.weekday() == weekday:
                    span = max(begin, there + first - offset), min(end, there + last - offset)
                    if span[0] < span[1]:
                        yield span


def _offsets(zone: ZoneInfo, day: datetime) -> Iterable[tuple[datetime, datetime, timedelta]]:
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


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
