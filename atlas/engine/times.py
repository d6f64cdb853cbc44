"""Durations and moments as the protocol writes them; all moments are milliseconds since 1970."""

import datetime
import email.utils
import random
import re
import time

from atlas.instants import LONGEST, parse_duration

_BACKOFF = (1, 2, 5, 15, 30, 60, 120, 300, 600, 1200)

_MILLISECOND = datetime.timedelta(milliseconds=1)

DAY = datetime.timedelta(days=1) // _MILLISECOND
LONGEST_WAIT = LONGEST // _MILLISECOND


def now() -> int:
    """The present moment."""
    return int(time.time() * 1000)


def parse_wait(text: str) -> int:
    """The milliseconds of a duration such as `1h30m`; raises ValueError for anything else."""
    return parse_duration(text) // _MILLISECOND


def parse_moment(text: str) -> int:
    """The moment of an ISO 8601 time; raises ValueError for anything else."""
    moment = datetime.datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return min(int(moment.timestamp() * 1000), now() + LONGEST_WAIT)


def parse_retry_after(text: str) -> int | None:
    """The moment a retry-after header names, in seconds, as an HTTP date or in ISO 8601."""
    for parse in (_parse_seconds, parse_moment, _parse_http_date):
        try:
            return min(parse(text), now() + LONGEST_WAIT)
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def retry_at(attempt: int) -> int:
    """The moment of the call after the given attempt, counted from 0."""
    seconds = _BACKOFF[min(attempt, len(_BACKOFF) - 1)]
    return now() + int(seconds * 1000 * (1 + 0.2 * random.random()))  # noqa: S311 - spreads load, hides nothing


def to_iso(moment: int) -> str:
    """The moment as ISO 8601 in UTC."""
    at = datetime.datetime.fromtimestamp(moment / 1000, tz=datetime.timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parse_seconds(text: str) -> int:
    return now() + int(float(text) * 1000)


def _parse_http_date(text: str) -> int:
    return int(email.utils.parsedate_to_datetime(text).timestamp() * 1000)
