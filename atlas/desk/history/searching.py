"""The form of the history: what stands in the address, as a filter, and the filter in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, timezone
from urllib.parse import urlencode

from atlas.cases.lists.filters import LONGEST_SEARCH, Filter
from atlas.desk.words import STATUSES
from atlas.models import Status

ENDED = "ended"
OPEN = "open"
CHOICES = {"": "any", ENDED: "all that ended", OPEN: "all that have not ended"} | {
    status.value: words for status, words in STATUSES.items()
}
FIELDS = ("q", "tool", "agent", "status", "reviewer", "score", "from", "until")
LINES = (50, 200, 500)  # on one page
LONGEST_NAME = 200


@dataclass
class Search:
    """What was asked for: each field as it was written, the filter, and what could not be understood."""

    written: dict[str, str]
    filter: Filter = field(default_factory=Filter)
    mistakes: dict[str, str] = field(default_factory=dict)
    lines: int = LINES[0]

    @property
    def query(self) -> str:
        """The same as an address has it, without the place in the list."""
        given = {name: text for name, text in self.written.items() if text}
        return urlencode(given | ({"lines": str(self.lines)} if self.lines != LINES[0] else {}))

    @property
    def in_words(self) -> list[tuple[str, str]]:
        """What the list is limited to: a name in our words, and what was written."""
        return [
            (words, CHOICES.get(self.written[name], "") if name == "status" else self.written[name])
            for name, words in _WORDS.items()
            if self.written[name]
        ]


_WORDS = {
    "q": "with the text",
    "tool": "tool",
    "agent": "agent",
    "status": "with the status",
    "reviewer": "decided by",
    "score": "score from",
    "from": "from the day (UTC)",
    "until": "until the day (UTC)",
}


def search_of(given: Mapping[str, str]) -> Search:
    """What an address asks for; a field that cannot be understood is a mistake and limits nothing."""
    search = Search({name: given.get(name, "").strip() for name in FIELDS})
    if given.get("lines", "") in map(str, LINES):
        search.lines = int(given["lines"])
    values = dict(_values(search))
    if not search.mistakes:
        search.filter = Filter.model_validate(values)
    return search


def _values(search: Search) -> Iterator[tuple[str, object]]:
    written = search.written
    for name, most in (
        ("q", LONGEST_SEARCH),
        *((one, LONGEST_NAME) for one in ("tool", "agent", "reviewer")),
    ):
        if len(written[name]) > most:
            search.mistakes[name] = f"At most {most} characters."
        yield name, written[name] or None
    yield "statuses", _statuses(search)
    yield "score_at_least", _score(search)
    yield "opened_after", _day(search, "from")
    until = _day(search, "until")
    yield "opened_before", until + timedelta(days=1) if until else None


def _statuses(search: Search) -> tuple[Status, ...]:
    text = search.written["status"]
    if text not in CHOICES:
        search.mistakes["status"] = "Choose one of the list."
        return ()
    if text in (ENDED, OPEN):
        return tuple(status for status in Status if status.is_final is (text == ENDED))
    return (Status(text),) if text else ()


def _score(search: Search) -> int | None:
    text = search.written["score"]
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) <= 100:
        return int(text)
    search.mistakes["score"] = "A number from 0 to 100."
    return None


def _day(search: Search, name: str) -> datetime | None:
    text = search.written[name]
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        day = None
    if day is None or day.year > 9000:
        search.mistakes[name] = "A day as 2026-11-27."
        return None
    return datetime.combine(day.date(), time(), timezone.utc)
