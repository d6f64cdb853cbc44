"""A JSON value as lines that people read: name and value, indented by depth, and nothing is left out."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from atlas.canonical import canonical_json

PIECE = 4_000  # characters of a text that stand on one line; more of it follows on the next
MOST_LINES = 1_000  # on a page
MOST_CHARACTERS = 20_000
LONGEST_PATH = PIECE  # characters
DEEPEST = 12  # levels that are indented; a deeper line says its level


class Line(NamedTuple):
    """A name with its value, or a part of either."""

    depth: int
    name: str | None  # of a field, or the number of an item
    value: str
    kind: str  # text, value, group (whose lines follow), or more: the text goes on
    path: str | None = None  # of a text or value: `recipients[0].email`, as the trace of a call has it

    @property
    def size(self) -> int:
        """How much there is to read."""
        return len(self.name or "") + len(self.value)


class Stretch(NamedTuple):
    """Some lines, and from which one on there are more."""

    lines: tuple[Line, ...]
    begin: int
    end: int | None  # None: these are the last


def lines_of(value: Any) -> Iterator[Line]:
    """The lines of a value in the order of its canonical form; works at any depth."""
    waiting = [_Inside(value, "")]
    while waiting:
        following = next(waiting[-1].items, None)
        if following is None:
            waiting.pop()
            continue
        name, item = following
        depth = len(waiting) - 1
        path = waiting[-1].path_to(name)
        for line in _lines_of_one(depth, name, item):
            yield line._replace(path=path) if line.kind in ("text", "value") else line
        if isinstance(item, (dict, list)) and item:
            waiting.append(_Inside(item, path))


class _Inside:
    """What is inside a value, and the path that leads there; None: too long to be followed."""

    def __init__(self, value: Any, path: str | None) -> None:
        self.items = _inside(value)
        self._is_list = isinstance(value, list)
        self._path = path

    def path_to(self, name: str | None) -> str | None:
        """Of one item."""
        if self._path is None or name is None:
            return self._path
        path = f"{self._path}[{int(name) - 1}]" if self._is_list else f"{self._path}.{name}".lstrip(".")
        return path if len(path) <= LONGEST_PATH else None


def canonical_lines(form: bytes) -> Iterator[Line]:
    """The canonical form itself, cut into lines where it is long."""
    yield from _pieces(0, None, form.decode(), "more")


def stretch(lines: Iterator[Line], begin: int, *, most: int, characters: int = MOST_CHARACTERS) -> Stretch:
    """So many lines from one on, or as many as have so many characters; at least one."""
    taken: list[Line] = []
    size = 0
    for line in islice(lines, begin, None):
        size += line.size
        if taken and (len(taken) == most or size > characters):
            return Stretch(tuple(taken), begin, begin + len(taken))
        taken.append(line)
    return Stretch(tuple(taken), begin, None)


def _inside(value: Any) -> Iterator[tuple[str | None, Any]]:
    if isinstance(value, dict):
        # The order of RFC 8785: by UTF-16.
        yield from sorted(value.items(), key=lambda item: item[0].encode("utf-16-be", "surrogatepass"))
    elif isinstance(value, list):
        yield from ((str(number), item) for number, item in enumerate(value, start=1))
    else:
        yield None, value


def _lines_of_one(depth: int, name: str | None, item: Any) -> Iterator[Line]:
    if name is not None and len(name) > PIECE:
        yield from _pieces(depth, None, name, "name")
        name = "…"
    if isinstance(item, str):
        yield from _pieces(depth, name, item, "text")
    elif isinstance(item, (dict, list)):
        yield Line(depth, name, size_of(item), "group" if item else "value")
    else:
        written = canonical_json(item).decode() if isinstance(item, float) else json.dumps(item)
        yield Line(depth, name, written, "value")


def size_of(group: dict[str, Any] | list[Any]) -> str:
    """How many fields or items a value has: `3 fields`."""
    what = "field" if isinstance(group, dict) else "item"
    return f"{len(group):,} {what}{'' if len(group) == 1 else 's'}" if group else json.dumps(group)


def _pieces(depth: int, name: str | None, text: str, kind: str) -> Iterator[Line]:
    yield Line(depth, name, text[:PIECE], kind)
    for begin in range(PIECE, len(text), PIECE):
        yield Line(depth, None, text[begin : begin + PIECE], "more")
