"""Points in time, the present one and the text in which they are kept, and the lengths between them."""

import math
import re
from datetime import datetime, timedelta, timezone

LONGEST = timedelta(days=366)

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def instant_text(value: datetime) -> str:
    """`2026-11-23T04:51:23.000000Z`, of a datetime that knows its zone."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_instant(text: str) -> datetime:
    """The point in time that `instant_text` wrote."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def instant_of(value: datetime | str) -> datetime:
    """The point in time of a row, which has the text where the driver was asked directly."""
    return value if isinstance(value, datetime) else read_instant(value)


def moment(value: datetime) -> str:
    """`14:02 UTC` for a sentence that a person reads; of another day `2026-11-23 14:02 UTC`."""
    there = value.astimezone(timezone.utc)
    return there.strftime("%H:%M UTC" if there.date() == now().date() else "%Y-%m-%d %H:%M UTC")


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `1h30m` or `3d`, as Inngest's protocol writes them; what is longer than LONGEST is LONGEST.

    Raises ValueError for anything else.
    """
    parts = _PART.findall(text)
    milliseconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != text or math.isinf(milliseconds):
        raise ValueError(f"{text!r} is not a duration")
    return timedelta(milliseconds=min(milliseconds, LONGEST / timedelta(milliseconds=1)))


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(timezone.utc)
