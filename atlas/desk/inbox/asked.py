"""What a person asks the inbox for, as it stands in the address of the page."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from urllib.parse import urlencode

from atlas.cases.lists.listing import Filter, Line, Order
from atlas.instants import now
from atlas.models import Frozen, Status
from atlas.review_rules import GROUP

LONGEST = 200  # characters of a name
ORDERS = {
    Order.OLDEST: "Oldest first",
    Order.RISKIEST: "Riskiest first",
    Order.NEAREST_END: "Nearest to its end first",
}
AGES = {"10m": "10 minutes", "1h": "1 hour", "4h": "4 hours", "1d": "1 day", "3d": "3 days"}
RISKS = (25, 50, 70, 90)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Whose(str, Enum):
    """Whose decision the calls wait for."""

    MINE = "mine"  # what the policy lets this person decide
    ALL = "all"
    ASSIGNED = "assigned"  # what a supervisor gave to this person


class Asked(Frozen):
    """One inbox: whose calls, which of them, and in which order."""

    whose: Whose = Whose.MINE
    tool: str = ""
    agent: str = ""
    group: str = ""  # whom the policy names for the decision
    risk: int = 0  # at least
    age: str = ""  # a key of AGES: they wait for so long at least
    order: Order = Order.OLDEST

    @property
    def query(self) -> str:
        """As it stands in an address, without what is left as it is."""
        given = self.model_dump(mode="json", exclude_defaults=True)
        return urlencode(given)

    @property
    def narrows(self) -> bool:
        """Whether calls are left out, beside those that wait for others."""
        return bool(self.tool or self.agent or self.group or self.risk or self.age)

    def but(self, **changes: Any) -> str:
        """The address of the same inbox with a difference."""
        query = self.model_copy(update=changes).query
        return f"/desk?{query}" if query else "/desk"

    def filter_for(self, entries: tuple[str, ...]) -> Filter:
        """What the store is asked for, by the names and groups of a person."""
        return Filter(
            statuses=(Status.PENDING_REVIEW,),
            tool=self.tool or None,
            agent=self.agent or None,
            group=self.group or None,
            is_waiting_for=entries if self.whose is Whose.MINE else None,
            score_at_least=self.risk or None,
            opened_before=self._opened_before,
        )

    def filter_of(self, name: str, entries: tuple[str, ...]) -> Filter:
        """The same with what this person has put aside, or was given."""
        own = {
            "not_aside_for": name if self.whose is Whose.MINE else None,
            "assigned_to": name if self.whose is Whose.ASSIGNED else None,
        }
        return self.filter_for(entries).model_copy(update=own)

    @property
    def _opened_before(self) -> datetime | None:
        if not self.age:
            return None
        return now() - timedelta(**{_UNITS[self.age[-1]]: int(self.age[:-1])})

    def has(self, line: Line, entries: Collection[str]) -> bool:
        """Whether a call belongs into this inbox, which shows what waits."""
        before = self._opened_before
        return (
            line.status is Status.PENDING_REVIEW
            and self.tool in ("", line.tool_name)
            and self.agent in ("", line.principal)
            and (not self.group or not {self.group, GROUP + self.group}.isdisjoint(line.reviewers))
            and (100 if line.is_score_hidden else line.risk_score or 0) >= self.risk
            and (before is None or line.opened_at < before)
            and (self.whose is not Whose.MINE or is_for(line, entries))
        )


def is_for(line: Line, entries: Collection[str]) -> bool:
    """Whether a call waits for a person of these names and groups."""
    return not line.reviewers or any(one in line.reviewers for one in entries)


def read_asked(query: Mapping[str, str]) -> Asked:
    """What an address asks for; what it says wrongly is left out, as the form on the page then shows."""
    return Asked(
        whose=next((whose for whose in Whose if whose.value == query.get("whose")), Whose.MINE),
        **{name: query.get(name, "").strip()[:LONGEST] for name in ("tool", "agent", "group")},
        risk=_number(query.get("risk", "")),
        age=query.get("age", "") if query.get("age") in AGES else "",
        order=next((order for order in ORDERS if order.value == query.get("order")), Order.OLDEST),
    )


def _number(text: str) -> int:
    return min(100, int(text)) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
