"""JSON that a person writes: it is read as it stands there, or not at all."""

from typing import Any

import pytest

from atlas.errors import RequestInvalid
from atlas.reviews.changing import Wish, arguments_with, place_of, with_wishes
from atlas.reviews.exact import Inexact, read_exactly


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-0.1", -0.1),
        ("1.10", 1.1),
        ("0.20000000000000001", 0.2),  # as programs write it that give each number 17 digits
        ("1e17", 1e17),
        ("5e-324", 5e-324),
        ("9007199254740991", 2**53 - 1),
        ('{"x": {"x": 1}}', {"x": {"x": 1}}),
        ('[{"x": 1}, {"x": 2}]', [{"x": 1}, {"x": 2}]),
    ],
)
def test_what_stands_there_is_read(text: str, value: Any) -> None:
    """A number in any of its spellings, and one name in several places."""
    assert read_exactly(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"x": 5, "x": 6}', "The name x stands twice"),
        ('[{"y": {"x": 5, "x": 5}}]', "The name x stands twice"),
        ("1e-400", "it would become 0.0"),
        ("1e400", "it would become inf"),
        ("1e99999999999999999999", "it would become inf"),
        ("1e-99999999999999999999", "it would become 0.0"),
        ("12345678901234567.891", "it would become 1.2345678901234568e"),
        ("3.141592653589793238", "it would become 3.141592653589793"),
        ("9007199254740992", "is beyond"),
        ("1" * 5000, "is beyond"),
        ("NaN", "is no number of JSON"),
        ("[-Infinity]", "is no number of JSON"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(text: str, said: str) -> None:
    """With a sentence that names it."""
    with pytest.raises(Inexact, match=said):
        read_exactly(text)


def test_a_whole_number_that_has_no_canonical_form_is_refused_where_the_agent_had_a_whole_one() -> None:
    """Elsewhere in the same arguments a fraction of any size can stand."""
    assert arguments_with({"a": 1.5, "b": 1}, {"a": 1e17, "b": 2.0}) == {"a": 1e17, "b": 2}
    with pytest.raises(RequestInvalid, match=r"^b is beyond ±9007199254740991"):
        arguments_with({"a": 1.5, "b": 1}, {"a": 1.5, "b": 1e17})


def wish(path: str, value: Any) -> Wish:
    return Wish(path, place_of(path), value)


@pytest.mark.parametrize(
    "others",
    [
        (wish("to.iban", "OTHER"),),
        (wish("to.bank", "B"),),  # which the whole one does not have
        (wish("to", {"iban": "OTHER"}),),
    ],
)
def test_two_wishes_that_contradict_each_other_are_refused(others: tuple[Wish, ...]) -> None:
    """In whichever order they come."""
    shown = {"to": {"iban": "OLD", "bank": "A"}}
    wishes = [wish("to", {"iban": "NEW"}), *others]
    for ordered in (wishes, wishes[::-1]):
        with pytest.raises(RequestInvalid, match="in two ways"):
            with_wishes(shown, ordered)


def test_two_wishes_that_say_the_same_are_one() -> None:
    """A part, and the whole with that part."""
    wishes = [wish("to.iban", "NEW"), wish("to", {"iban": "NEW", "bank": "B"})]
    assert with_wishes({"to": {"iban": "OLD"}}, wishes) == {"to": {"iban": "NEW", "bank": "B"}}
