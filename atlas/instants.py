"""Points in time: the present one, and the text in which they are kept and told."""

from datetime import datetime, timezone


def instant_text(value: datetime) -> str:
    """`2026-11-23T04:51:23.000000Z`, of a datetime that knows its zone."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(timezone.utc)
