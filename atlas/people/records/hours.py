"""Hours of the week as people write them, such as `mon-fri 09:00-17:00, sat 10:00-12:00`."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(DAYS)
_ENTRY = re.compile(
    rf"(?:(?P<first>{_DAY})(?:-(?P<last>{_DAY}))? )?"
    r"(?P<begin>[01]\d:[0-5]\d|2[0-3]:[0-5]\d)-(?P<end>[01]\d:[0-5]\d|2[0-3]:[0-5]\d|24:00)"
)
WANTED = "hours such as `mon-fri 09:00-17:00, sat 10:00-12:00`; without a day they are those of every day"
MINUTES_OF_DAY = 24 * 60


class Span(NamedTuple):
    """A part of one day of the week, in minutes after midnight; the end does not belong to it."""

    day: int  # 0 is Monday
    begin: int
    end: int


def spans_of(text: str) -> tuple[Span, ...]:
    """The spans that a text names; one that ends before it begins goes on after midnight.

    Raises ValueError, which says what is wanted.
    """
    found = [span for entry in text.split(",") for span in _spans(" ".join(entry.split()).lower())]
    return tuple(sorted(found))


def _spans(entry: str) -> Iterator[Span]:
    match = _ENTRY.fullmatch(entry)
    if match is None or match["begin"] == match["end"]:
        raise ValueError(f"{entry!r} is not of the form of {WANTED}")
    begin, end = _minutes(match["begin"]), _minutes(match["end"])
    for day in _days(match["first"], match["last"]):
        if begin < end:
            yield Span(day, begin, end)
            continue
        yield Span(day, begin, MINUTES_OF_DAY)
        if end:
            yield Span((day + 1) % 7, 0, end)


def _days(first: str | None, last: str | None) -> tuple[int, ...]:
    if first is None:
        return tuple(range(7))
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return tuple((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def zone_of(name: str | None) -> ZoneInfo | timezone:
    """The zone of a name of the IANA database, or UTC without one; raises ValueError for an unknown name."""
    if name is None:
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # no such file, or no name of one
        raise ValueError(f"{name!r} is no zone of the IANA database, such as Europe/Berlin") from error


def stretches(
    text: str, zone: str | None, *, since: datetime, days: int
) -> Iterator[tuple[datetime, datetime]]:
    """The hours of some days as moments, from the day of `since` on, in order and in UTC."""
    place, spans = zone_of(zone), spans_of(text)
    first = since.astimezone(place).date()
    for step in range(days):
        day = first + timedelta(days=step)
        for span in spans:
            if span.day == day.weekday():
                yield _at(day, span.begin, place), _at(day, span.end, place)


def _at(day: date, minute: int, zone: ZoneInfo | timezone) -> datetime:
    over, rest = divmod(minute, MINUTES_OF_DAY)
    wall = datetime.combine(day + timedelta(days=over), time(rest // 60, rest % 60), tzinfo=zone)
    return wall.astimezone(timezone.utc)
