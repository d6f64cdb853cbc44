"""A moment as a person writes it: a day, a minute, or how long from now."""

from datetime import datetime, time, timedelta

from atlas.errors import PersonRefused
from atlas.instants import LONGEST, now, read_instant
from atlas.people.records.hours import zone_of
from atlas.settings.as_written import read_duration

WANTED = "a day as 2027-01-31, a minute as 2027-01-31T17:00, or how long as 8h or 14d"


def read_moment(text: str, *, zone: str | None = None, is_end: bool = True) -> datetime:
    """The moment that a text means, in the zone of a person; a day that is an end counts as a whole.

    Raises PersonRefused.
    """
    text = text.strip()
    duration = read_duration(text)
    try:
        if text.replace(".", "").isdigit():  # no seconds, and no 20270131, which not every Python reads
            raise ValueError
        if isinstance(duration, timedelta):
            if duration >= LONGEST:
                raise PersonRefused(reason=f"{text[:40]} is longer than a year: write a day as 2027-01-31.")
            return now() + duration
        said = read_instant(text)
        if len(text) == len("2027-01-31"):
            said = datetime.combine(said.date() + timedelta(days=1 if is_end else 0), time())
        if said.tzinfo is None:
            said = said.replace(tzinfo=zone_of(zone))
        return said.astimezone(now().tzinfo)
    except (ValueError, OverflowError):
        raise PersonRefused(reason=f"{text[:40]} is no time: write {WANTED}.") from None
