"""The canonical form is RFC 8785's, whichever library writes it."""

import random
from typing import Any

import pytest
import rfc8785

from atlas.canonical import NotCanonical, canonical_json

TEXTS = [
    "",
    "a",
    "é",
    "\u2028",
    '"\\/',
    "\x00\x1f\x7f\b\n",
    "\ud7ff",
    "\ue000",
    "\U0001f600",
    ":1.5",
    "10e3",
    "ﬀ",
]
NUMBERS = [0, -1, 10**14, 10**15, 2**53 - 1, 1 - 2**53, 0.5, -0.0, 1.0, 1e21, 1e-7, 123456789.123]


def any_value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(6 if depth < 4 else 4)
    if kind == 4:
        return [any_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind == 5:
        return {draw.choice(TEXTS): any_value(draw, depth + 1) for _ in range(draw.randrange(5))}
    return draw.choice([None, True, False]) if kind == 0 else draw.choice(NUMBERS if kind == 1 else TEXTS)


def test_every_value_is_written_as_the_library_for_rfc_8785_writes_it() -> None:
    draw = random.Random(8785)  # noqa: S311 - the same values each time
    for value in (any_value(draw) for _ in range(5000)):
        assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {"\udfff": 1}, [1, [float("-inf")]]]
)
def test_a_value_without_a_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)
