"""What the user asked for in a session, and for which of the later calls each request speaks."""

from collections.abc import Iterator
from typing import NamedTuple

from atlas.assessors import Question
from atlas.assessors.general.asking import asks_for
from atlas.origins.forms import Wanted
from atlas.origins.search import Search
from atlas.origins.values import says

MOST_REQUESTS = 20  # of a session, the last ones that differ
# Deeds that are done once for each time that the user asks: what can rarely be taken back.
DONE_ONCE = frozenset(("pays", "shares", "deletes"))


class Request(NamedTuple):
    """What the user asked for, and at which call the client said it last."""

    text: str
    place: int  # of the earlier call; the present one stands behind all of them


class Requests:
    """The requests that can speak for one call, the last one first."""

    def __init__(self, question: Question, search: Search, *, deed: str, orders_until: int) -> None:
        """`orders_until`: the place of the last result that gives orders; -1: none does."""
        self._earlier, self._search, self._deed = question.earlier, search, deed
        self._tool_name = question.tool.name
        self._orders_until = orders_until
        last = dict[str, int]()
        for request in _said(question):
            last.setdefault(request.text, request.place)
        self.all = tuple(Request(*one) for one in list(last.items())[:MOST_REQUESTS])

    def ask(self) -> bool:
        """Whether one asks for the deed of the call; one from before a text that gives orders does not."""
        asking = (one.text for one in self.all if one.place > self._orders_until)
        return any(asks_for(self._deed, request, tool_name=self._tool_name) for request in asking)

    def name(self, value: Wanted, *, is_target: bool) -> bool:
        """Whether one names a value; none does for a target that the same deed had since."""
        used = self._done_until(value) if self.all and is_target and self._deed in DONE_ONCE else -1
        return any(says(value, one.text) for one in self.all if one.place > used)

    def _done_until(self, value: Wanted) -> int:
        """The place of the last call of the same tool in this session whose arguments named a value."""
        latest = range(len(self._earlier) - 1, -1, -1)
        return self._search.asked_at(value, filter(self._is_same_deed, latest))

    def _is_same_deed(self, place: int) -> bool:
        one = self._earlier[place]
        return one.tool_name == self._tool_name and not one.is_other_session


def _said(question: Question) -> Iterator[Request]:
    if question.user_request:
        yield Request(question.user_request, len(question.earlier))
    for place in range(len(question.earlier) - 1, -1, -1):
        one = question.earlier[place]
        if one.user_request and not one.is_other_session:
            yield Request(one.user_request, place)
