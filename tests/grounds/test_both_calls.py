"""What is asked of people for a changed call: what the policy asks for the agent's call too."""

from typing import Any

import pytest
from store import assessment_of, tool_call

from atlas.grounds.both_calls import of_both_calls
from atlas.models import Ruling
from atlas.review_rules import ReviewRules

CALL = tool_call("pay", amount=500)
ANNA, BEN = ("anna", "cleo"), ("anna", "ben")
CASES: list[tuple[dict[str, Any], dict[str, Any], tuple[Any, ...]]] = [
    ({}, {}, ((), (), 1)),
    ({"approvals": 2}, {}, ((), (), 2)),
    ({}, {"approvals": 3}, ((), (), 3)),
    ({"reviewers": ANNA}, {}, (ANNA, (), 1)),
    ({}, {"reviewers": BEN, "approvals": 2}, (BEN, (), 2)),
    ({"reviewers": ANNA, "approvals": 2}, {"reviewers": ANNA}, (ANNA, (), 2)),
    ({"reviewers": ANNA, "approvals": 2}, {"reviewers": BEN}, (("anna", "ben", "cleo"), (BEN, ANNA), 4)),
    (
        {"reviewers": ("anna", "ben", "cleo"), "each_of": (ANNA, BEN), "approvals": 2},
        {"reviewers": BEN, "approvals": 1},
        (("anna", "ben", "cleo"), (BEN, ANNA), 2),
    ),
]


@pytest.mark.parametrize(("first", "second", "expected"), CASES)
def test_each_list_of_both_calls_has_to_approve_as_often_as_the_stricter_says(
    first: dict[str, Any], second: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """So no one gets out of the hands of some people by a change that others decide on."""
    both = of_both_calls(assessment_of(CALL, **first), assessment_of(CALL, **second))
    ruling = both.ruling
    assert isinstance(ruling, Ruling)
    assert (ruling.reviewers, ruling.each_of, ruling.approvals) == expected


STRICTER = [
    ({"hides_score": True}, {}, {"hides_score": True}),
    ({"min_seconds": 9}, {"min_seconds": 3}, {"min_seconds": 9}),
    ({"reason_from": 60}, {"reason_from": 80}, {"reason_from": 60}),
    ({"reason_from": 60}, {}, {"reason_from": 60}),
    ({"may_edit": ("days",)}, {"may_edit": ("days", "amount")}, {"may_edit": ("days",)}),
    ({}, {"may_edit": ("days",)}, {"may_edit": ()}),
    ({"undo_seconds": 5}, {"needs_passkey": True}, {"undo_seconds": 5, "needs_passkey": True}),
]


@pytest.mark.parametrize(("one", "other", "expected"), STRICTER)
@pytest.mark.parametrize("is_turned", [False, True])
def test_what_a_rule_asks_of_the_person_for_either_call_is_asked(
    one: dict[str, Any], other: dict[str, Any], expected: dict[str, Any], is_turned: bool
) -> None:
    """A change of the arguments takes away no measure, and gives a person no more to change."""
    first, second = (other, one) if is_turned else (one, other)
    both = of_both_calls(
        *(assessment_of(CALL, review=ReviewRules(**said)) for said in (first, second))
    ).ruling
    assert isinstance(both, Ruling)
    assert {name: getattr(both.review, name) for name in expected} == expected
