"""The leaves of the arguments, each with its path."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

MOST_LEAVES = 200


class Leaf(NamedTuple):
    """One value of the arguments that holds no other."""

    path: str  # such as `recipients[0].email`
    key: str  # the nearest name
    value: Any


def leaves_of(arguments: dict[str, Any]) -> tuple[tuple[Leaf, ...], bool]:
    """The leaves in the order of the arguments, and whether these are all."""
    found = list(islice(_walk(arguments), MOST_LEAVES + 1))
    return tuple(found[:MOST_LEAVES]), len(found) <= MOST_LEAVES


def _walk(arguments: dict[str, Any]) -> Iterator[Leaf]:
    waiting: list[Leaf] = [Leaf("", "", arguments)]  # without recursion: an agent chooses the depth
    while waiting:
        leaf = waiting.pop()
        if isinstance(leaf.value, dict):
            inner = [
                Leaf(f"{leaf.path}.{key}".lstrip("."), str(key), item) for key, item in leaf.value.items()
            ]
            waiting.extend(reversed(inner))
        elif isinstance(leaf.value, list | tuple):
            inner = [Leaf(f"{leaf.path}[{place}]", leaf.key, item) for place, item in enumerate(leaf.value)]
            waiting.extend(reversed(inner))
        else:
            yield leaf
