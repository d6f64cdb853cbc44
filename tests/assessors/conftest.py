"""Every condition that these tests evaluate is evaluated by CEL's own evaluator too, with the same result."""

from collections.abc import Iterator
from copy import copy
from typing import Any

import pytest

from atlas.assessors.policy.conditions import Condition
from atlas.assessors.policy.evaluation import EVALUATION_SECONDS, Evaluation, TookTooLong


def result_of(condition: Condition, evaluation: Evaluation, *, quickly: bool) -> str:
    """What it comes to: true, false, or the kind of what is raised."""
    chosen = condition if quickly else slow(condition)
    try:
        return str(HOLDS(chosen, evaluation))
    except Exception as error:
        return type(error).__name__


def slow(condition: Condition) -> Condition:
    """The same condition without its functions."""
    other = object.__new__(Condition)
    other.__dict__.update(condition.__dict__ | {"_quick": None})  # which no one can call
    return other


HOLDS, HOLDS_QUICKLY = Condition.holds, Condition.holds_quickly


@pytest.fixture(autouse=True)
def evaluated_both_ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What differs fails the test; only what takes too long may do so in one of the two ways."""
    differ: list[Any] = []

    def holds(condition: Condition, evaluation: Evaluation) -> bool:
        ways = [result_of(condition, evaluation, quickly=quickly) for quickly in (True, False)]
        if len(set(ways)) > 1 and TookTooLong.__name__ not in ways:
            differ.append((condition.text, *ways))
        return HOLDS(condition, evaluation)

    def holds_quickly(condition: Condition, evaluation: Evaluation) -> bool:
        held = HOLDS_QUICKLY(condition, evaluation)
        longer = copy(evaluation)  # the other way takes ten times as long
        longer.ends_at += EVALUATION_SECONDS
        if (way := result_of(condition, longer, quickly=False)) not in (str(held), TookTooLong.__name__):
            differ.append((condition.text, held, way))
        return held

    monkeypatch.setattr(Condition, "holds", holds)
    monkeypatch.setattr(Condition, "holds_quickly", holds_quickly)
    yield
    assert not differ
