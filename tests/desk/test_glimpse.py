"""The line of a list about the arguments of a call: short, and it says where it leaves something out."""

import json

import pytest

from atlas.desk.inbox.glimpse import LONGEST, READ, glimpse


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, ""),
        ({"days": 30, "reason": "illness"}, "days: 30, reason: illness"),
        ({"invoice": "a" * 200, "amount": 999_999}, f"invoice: {'a' * 40}…, amount: 999999"),
        ({"b" * 200: 1, "amount": 7}, f"{'b' * 40}…: 1, amount: 7"),
        ({"note": "x, amount: 5", "amount": 7}, 'note: "x, amount: 5", amount: 7'),  # which is one argument
    ],
)
def test_a_long_argument_hides_no_other(arguments: dict[str, object], line: str) -> None:
    """Each part of a long line is cut for itself, and a text cannot look like another argument."""
    assert glimpse(json.dumps(arguments)) == line


def test_what_has_no_room_is_counted_or_named() -> None:
    """So that no one takes the beginning for all of it."""
    many = glimpse(json.dumps({f"name{number}": number for number in range(40)}))
    assert many.endswith("more arguments") and len(many) < LONGEST + 30
    long = glimpse(json.dumps({"pad": "p" * READ, "amount": 7}))
    assert long.startswith('{"pad": "ppp') and long.endswith("they are too long for a list)")
