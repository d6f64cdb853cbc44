"""Which changes of arguments a person may make: exact places, the same types, no keys that come or go."""

from typing import Any

import pytest

from atlas.errors import RequestInvalid, RuleRefuses
from atlas.reviews.changing import arguments_with, changes_between, check_allowed, paths_of, place_of

CALL: dict[str, Any] = {
    "amount": 500,
    "recipient": "acme",
    "items": [{"amount": 5, "note": "a"}, {"amount": 7, "note": "b"}],
    "changes": {"amount": 5},
    "changes.amount": 9,
    "é": "composed",
    "is_final": True,
}


def allowed(wanted: dict[str, Any], *may_edit: str) -> list[str]:
    """The paths under which the change stands; raises where it is not allowed."""
    changes = tuple(changes_between(CALL, arguments_with(CALL, wanted)))
    check_allowed(changes, may_edit)
    return paths_of(changes, may_edit)


@pytest.mark.parametrize(
    ("change", "may_edit"),
    [
        ({"amount": 50}, "amount"),
        ({"amount": 0.5}, "amount"),
        ({"items": [{"amount": 6, "note": "a"}, {"amount": 7, "note": "b"}]}, "items[0].amount"),
        ({"items": []}, "items"),  # a whole argument, with all that is inside
        ({"items": [{"amount": 5, "note": "a", "more": 1}, {"amount": 7}]}, "items"),
        ({"changes": {"amount": 6}}, "changes.amount"),
        ({"is_final": False}, "is_final"),
    ],
)
def test_a_named_place_and_all_inside_of_it_can_be_changed(change: dict[str, Any], may_edit: str) -> None:
    """And it is recorded under the path of the policy."""
    assert allowed(CALL | change, may_edit) == [may_edit]


@pytest.mark.parametrize(
    ("change", "may_edit"),
    [
        ({"recipient": "evil"}, "amount"),
        ({"items": [{"amount": 6, "note": "a"}, {"amount": 7, "note": "b"}]}, "items[1].amount"),
        ({"items": [{"amount": 5, "note": "a"}]}, "items[0].amount"),  # a shorter list is another list
        ({"items": [{"amount": 5, "note": "a", "x": 1}, {"amount": 7, "note": "b"}]}, "items[0].amount"),
        ({"changes.amount": 10}, "changes.amount"),  # a key that looks like the path
        ({"changes": {"amount": 5, "amount ": 6}}, "changes.amount"),
        ({"e\u0301": "decomposed"}, "é"),  # another key, that reads the same
        ({"amount\u200b": 1}, "amount"),
        ({"days": 3}, "days"),  # no argument comes
        ({"amount": 50, "requestState": "x"}, "amount"),  # nor what the agent adds when a tool asks
        ({"amount": 50}, "amoun"),
        ({"amount": 50}, "items"),
    ],
)
def test_no_other_place_can_be_changed(change: dict[str, Any], may_edit: str) -> None:
    """However near it is to one that can."""
    with pytest.raises(RuleRefuses) as refusal:
        allowed(CALL | change, may_edit)
    assert refusal.value.fields["rule"] == "may_edit"


def test_no_argument_goes() -> None:
    """Also none that may be changed."""
    with pytest.raises(RuleRefuses):
        allowed({name: value for name, value in CALL.items() if name != "amount"}, "amount")


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "50"},
        {"amount": True},
        {"amount": None},
        {"amount": [50]},
        {"recipient": 7},
        {"is_final": 1},
        {"is_final": "false"},
        {"items": {"amount": 6}},
        {"items": [{"amount": "6", "note": "a"}, {"amount": 7, "note": "b"}]},
    ],
)
def test_a_value_keeps_its_type(change: dict[str, Any]) -> None:
    """A tool that takes "50" for 50 would take what no one saw."""
    with pytest.raises(RequestInvalid, match="has to stay one"):
        allowed(CALL | change, *CALL)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60, "\ud800"])
def test_a_value_needs_a_canonical_form(value: Any) -> None:
    """What cannot be digested cannot be approved."""
    with pytest.raises(RequestInvalid, match="canonical form"):
        allowed(CALL | {"amount": value, "recipient": value}, *CALL)


def test_what_is_the_same_stays_as_the_agent_wrote_it() -> None:
    """1.0 for 1 is no change, and 50.0 for 500 is the number 50, as a tool for whole numbers takes it."""
    merged = arguments_with(CALL, CALL | {"changes": {"amount": 5.0}, "amount": 50.0})
    assert merged == CALL | {"amount": 50}
    assert [type(merged["amount"]), type(merged["changes"]["amount"])] == [int, int]
    assert list(merged) == list(CALL)


def test_arguments_with_too_many_levels_are_refused() -> None:
    """And nothing breaks."""
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RequestInvalid):
        arguments_with(CALL, CALL | {"items": deep})


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("amount", ("amount",)),
        ("items[0].amount", ("items", 0, "amount")),
        ("a[1][2]", ("a", 1, 2)),
        ("", ()),
    ],
)
def test_a_path_is_read_as_a_trace_writes_it(path: str, place: tuple[Any, ...]) -> None:
    """Names and numbers are never the same."""
    assert place_of(path) == place
