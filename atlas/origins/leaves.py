"""The leaves of the arguments, each with its path: values, and keys that the agent chose."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

MOST_LEAVES = 200
MOST_ITEMS = 2000  # that are looked at to find the leaves
MOST_CHARACTERS = 20_000  # of all leaves
LONGEST_NAME, LONGEST_PATH = 100, 1000
DEEPEST = 64

_NAME = re.compile(r"[\w$-]{1,60}")
_FIGURES = re.compile(r"\d{4}")


class Leaf(NamedTuple):
    """One value of the arguments that holds no other."""

    path: str  # such as `recipients[0].email`
    key: str  # the nearest name
    value: Any


class _Waiting(NamedTuple):
    leaf: Leaf
    depth: int


def leaves_of(arguments: dict[str, Any]) -> tuple[tuple[Leaf, ...], bool]:
    """The leaves in the order of the arguments, and whether these are all, whole.

    JSON inside a text is taken apart. A key below the first level that is no plain name, such as an address,
    is a leaf too, with a path such as `shares.keys[0]`: the agent chose it.
    """
    walk = _Walk(arguments)
    leaves: list[Leaf] = []
    left = MOST_CHARACTERS
    for leaf in islice(walk.leaves(), MOST_LEAVES + 1):
        if len(leaves) == MOST_LEAVES or left <= 0:
            return tuple(leaves), False
        if isinstance(leaf.value, str) and len(leaf.value) > left:
            return (*leaves, leaf._replace(value=leaf.value[:left])), False
        left -= len(leaf.value) if isinstance(leaf.value, str) else 1
        leaves.append(leaf)
    return tuple(leaves), walk.is_whole


def every_leaf(arguments: dict[str, Any]) -> Iterator[Leaf]:
    """The leaves as long as they are, of the first 2,000 items."""
    return _Walk(arguments).leaves()


class _Walk:
    """Goes through arguments of any depth and size without recursion, until a limit is reached."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.is_whole = True
        self._left = MOST_ITEMS
        self._waiting = [_Waiting(Leaf("", "", arguments), 0)]

    def leaves(self) -> Iterator[Leaf]:
        while self._waiting:
            leaf, depth = self._waiting.pop()
            value = _unpacked(leaf.value) if depth else leaf.value
            if not isinstance(value, dict | list | tuple):
                yield leaf
            elif depth > DEEPEST or self._left <= 0:
                self.is_whole = False
            else:
                inner = _inner_of(value, leaf, depth)
                self.is_whole &= len(value) <= MOST_LEAVES + 1
                self._left -= len(inner) + 1
                self._waiting.extend(_Waiting(one, depth + 1) for one in reversed(inner))


def _inner_of(value: Any, leaf: Leaf, depth: int) -> list[Leaf]:
    path = leaf.path[:LONGEST_PATH]
    if not isinstance(value, dict):
        return [
            Leaf(f"{path}[{place}]", leaf.key, item) for place, item in enumerate(value[: MOST_LEAVES + 1])
        ]
    inner = []
    for place, (key, item) in enumerate(islice(value.items(), MOST_LEAVES + 1)):
        name = str(key)[:LONGEST_NAME]
        if depth and _is_chosen(str(key)):
            inner.append(Leaf(f"{path}.keys[{place}]".lstrip("."), leaf.key, str(key)))
        inner.append(Leaf(f"{path}.{name}".lstrip("."), name, item))
    return inner


def _is_chosen(key: str) -> bool:
    """Whether a key is no name that a schema gives."""
    return not _NAME.fullmatch(key) or _FIGURES.search(key) is not None


def _unpacked(value: Any) -> Any:
    """What a text holds that is JSON; else the value."""
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        inside = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return inside if isinstance(inside, dict | list) and inside else value
