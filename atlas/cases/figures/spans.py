"""The spans of time in which calls are counted: days, the hours of this day, the minutes of this hour."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

SETTLED = timedelta(minutes=1)  # after its end a span gets no more calls: each is written down by then


@dataclass(frozen=True)
class Span:
    """A span of time; the newest one has no end."""

    begin: datetime
    end: datetime | None

    @property
    def day(self) -> date:
        """The day, in UTC, on which it begins."""
        return self.begin.date()

    @property
    def is_day(self) -> bool:
        """Whether it is a whole day."""
        return self.end is not None and self.end - self.begin == timedelta(days=1)


def spans_of(moment: datetime, days: int) -> Iterator[Span]:
    """So many days up to a moment: those that are over, the hours of the last, its minutes, and the rest."""
    settled, begin = moment - SETTLED, midnight(moment) - timedelta(days=days - 1)
    for step in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)):
        while begin + step <= settled:
            yield Span(begin, begin + step)
            begin += step
    yield Span(begin, None)


def midnight(moment: datetime) -> datetime:
    """The beginning of a day in UTC."""
    return datetime.combine(moment.date(), time(), timezone.utc)
