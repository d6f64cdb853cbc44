"""What a list of cases is asked for: a filter, an order, and the place after which it goes on."""

import base64
import json
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from pydantic import Field

from atlas.errors import RequestInvalid
from atlas.instants import read_instant
from atlas.models import Frozen, Status

LONGEST_SEARCH = 200  # characters


class Order(str, Enum):
    """Which case comes first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    RISKIEST = "riskiest"  # of what waits alone
    NEAREST_END = "nearest_end"  # of what waits alone

    @property
    def is_by_time(self) -> bool:
        """Whether it is the order in which the cases were opened, or its reverse."""
        return self in (Order.NEWEST, Order.OLDEST)


class Filter(Frozen):
    """Which cases: all of what is given holds; no statuses are all of them."""

    statuses: tuple[Status, ...] = ()
    tool: str | None = None
    agent: str | None = None
    q: str | None = Field(default=None, max_length=LONGEST_SEARCH)  # a text that stands in it
    reviewer: str | None = None  # who decided
    group: str | None = None  # whom the policy names for the decision
    # The names and groups by which a person may decide, as the policy writes them: see entries_for.
    is_waiting_for: tuple[str, ...] | None = None
    not_aside_for: str | None = None  # a person who has put some aside
    assigned_to: str | None = None  # by a supervisor
    score_at_least: int | None = Field(default=None, ge=0, le=100)
    opened_after: datetime | None = None  # from then on
    opened_before: datetime | None = None

    @property
    def is_what_waits(self) -> bool:
        """Whether it is about those alone that wait for a person."""
        return self.statuses == (Status.PENDING_REVIEW,)


class Place(NamedTuple):
    """Where a page ends: the case that was looked at last, and what the order goes by."""

    key: str | int
    opened_at: str
    case_id: str


def cursor_of(order: Order, place: Place) -> str:
    """A place as a caller hands it back."""
    text = json.dumps([order.value, *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(order: Order, cursor: str) -> Place:
    """The place that a cursor names; raises RequestInvalid for one that is not of a list in this order."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name, key, opened_at, case_id = json.loads(text)
        read_instant(opened_at)
        f"{key}{case_id}".encode()  # half a character is in no list
    except (ValueError, TypeError, RecursionError):
        raise RequestInvalid(reason="The cursor is none of this list. Leave `after` out to begin.") from None
    is_key = key in range(101) if order is Order.RISKIEST else isinstance(key, str)
    if name != order.value or not is_key or not isinstance(case_id, str):
        raise RequestInvalid(reason="The cursor is of another order. Leave `after` out to begin.")
    return Place(key, opened_at, case_id)
