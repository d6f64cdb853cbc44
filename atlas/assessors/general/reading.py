"""Words and values out of a call, read once and within limits, so that no argument takes long to judge."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

CHARACTERS = 20_000  # of all values together; a call with more is never taken for harmless
VALUES = 500
NAME_CHARACTERS, DESCRIPTION_CHARACTERS, CLAIM_CHARACTERS = 200, 400, 4_000
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
SUFFIXES = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", ""))


class Value(NamedTuple):
    """One value of the arguments, with the name under which it stands."""

    key: str
    content: str | float | bool


class Reading(NamedTuple):
    """What could be read of the arguments."""

    values: tuple[Value, ...]
    is_complete: bool
    longest_list: int


def words(text: str) -> list[str]:
    """Split camelCase, snake_case and sentences into lower-case words."""
    return [word.lower() for word in WORD.findall(text)]


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Bring a word near its base form: deletes, deleted and deleting become delet, as delete does."""
    for suffix, instead in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            word = word[: -len(suffix)] + instead
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


@lru_cache(maxsize=256)
def stems(text: str) -> frozenset[str]:
    """The different words of a text near their base form."""
    return frozenset(stem(word) for word in words(text) if len(word) < 40)


def is_listed(key: str, listed: frozenset[str]) -> bool:
    """Whether a word of an argument's name is in a list."""
    return not listed.isdisjoint(words(key))


def read(arguments: dict[str, Any]) -> Reading:
    """Walk through arguments of any depth, until a limit is reached."""
    values: list[Value] = []
    left, longest = CHARACTERS, 0
    walk = _walk(arguments)
    for key, content, size in walk:
        longest = max(longest, size)
        if isinstance(content, str):
            if len(content) > left:
                values.append(Value(key, content[:left]))
                return Reading(tuple(values), False, longest)
            left -= len(content)
        values.append(Value(key, content))
        left -= len(key)
        if len(values) >= VALUES or left <= 0:
            return Reading(tuple(values), next(walk, None) is None, longest)
    return Reading(tuple(values), True, longest)


def _walk(arguments: dict[str, Any]) -> Iterator[tuple[str, str | float | bool, int]]:
    """Every value with its nearest key and the size of the longest list around it; without recursion."""
    waiting: list[tuple[str, Any, int]] = [("", arguments, 1)]
    while waiting:
        key, content, size = waiting.pop()
        if isinstance(content, dict):
            first = list(islice(content.items(), VALUES + 1))
            waiting.extend((str(name)[:100], item, size) for name, item in reversed(first))
        elif isinstance(content, list | tuple):
            waiting.extend((key, item, max(size, len(content))) for item in reversed(content[: VALUES + 1]))
        elif isinstance(content, str | int | float):
            yield key, content, size
