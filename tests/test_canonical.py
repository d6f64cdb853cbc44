"""The canonical form is RFC 8785's, whichever library writes it."""

import random
from typing import Any

import pytest
import rfc8785

from atlas.canonical import NotCanonical, canonical_json, without_a_form

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


def nested(levels: int, inmost: Any = "[[[") -> Any:
    """Lists and objects inside one another, in turn."""
    value = inmost
    for level in range(levels):
        value = [value, "]"] if level % 2 else {'"[': value}
    return value


def test_as_many_levels_have_a_form_on_any_version_of_python() -> None:
    """A bracket in a text is no level; many values side by side are none either."""
    assert canonical_json(nested(500)) == rfc8785.dumps(nested(500))
    assert canonical_json([[]] * 2000) == rfc8785.dumps([[]] * 2000)
    with pytest.raises(NotCanonical, match="500 levels"):
        canonical_json(nested(501))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"id": 2**53}, "id is beyond ±9007199254740991. Send it as a text"),
        ({"a": 1, "ids": [1, {"of": -(2**63)}]}, "ids.1.of is beyond"),
        ({"rate": float("nan")}, "rate is NaN or infinite, which is no JSON. Send it as a text"),
        ({"rates": [float("inf")]}, "rates.0 is NaN or infinite"),
        ({"a": "\ud800"}, "it has a half of a character"),
        ({"a": eval("[" * 90 + "2**60" + "]" * 90)}, "something in a.0.0.0"),  # noqa: S307
        ({"\udfff": 1}, "a name in it has a half of a character"),
    ],
)
def test_what_has_no_form_is_named_with_its_place(value: Any, says: str) -> None:
    """Right: the one who sent it reads which argument it is, and how to send it; it is never altered."""
    assert without_a_form(value).startswith(says)
