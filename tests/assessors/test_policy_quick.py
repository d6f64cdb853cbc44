"""A condition as Python functions comes to what CEL's own evaluator says of it, also at random."""

from typing import Any

import pytest
from assessors.conftest import result_of
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy.conditions import Condition, ConditionInvalid
from atlas.assessors.policy.evaluation import Evaluation
from atlas.assessors.policy.quick import Call, Undecided

NAMES = ("a", "b", "list", "map")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from((0.5, 1.0, -0.0))
    | st.sampled_from("abx"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx"), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES)
ATOMS = st.sampled_from(
    [
        *(
            "args.a",
            "args.b",
            "args.list",
            "args.map",
            "args.map.a",
            'args["a"]',
            "args.list[0]",
            "args.none.a",
        ),
        *("1", "0", "-1", "2.0", "true", "false", "null", '"a"', '""', "[]", '[1, "a", args.a]', "1u"),
        *("has(args.a)", "has(args.map.a)", "has(args.none.a)", "size(args.list)", "args.a.size()", "intent"),
        *(
            "args.a.startsWith(args.b)",
            'args.a.matches("[ab]")',
            "args.a.matches(args.b)",
            "type(args.a) == int",
        ),
        *(
            "int(args.a)",
            "string(args.a)",
            "args.a.contains(args.b)",
            "principal",
            "dyn(args.a)",
            "size(args.map)",
        ),
    ]
)
SIGNS = st.sampled_from(["&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%"])
MACROS = st.sampled_from(["all", "exists", "exists_one", "filter", "map"])


def larger(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Conditions that are made of smaller ones."""
    return st.one_of(
        st.builds("({} {} {})".format, part, SIGNS, part),
        st.builds("({} ? {} : {})".format, part, part, part),
        st.builds("!{}".format, part),
        st.builds("(-{})".format, part),
        st.builds("args.list.{}(d, {})".format, MACROS, part),
        st.builds("args.list.{}(d, d == {})".format, MACROS, part),
        st.builds("args.map.{}(a, args.map[a] == {})".format, MACROS, part),
        st.builds("[{}, {}].exists(args, args)".format, part, part),
    )


def evaluation_of(arguments: dict[str, Any]) -> Evaluation:
    """Of a call with these arguments."""
    return Evaluation(Question(tool=ToolFacts(name="tool"), arguments=arguments, principal="agent"))


@settings(max_examples=1500, deadline=None)
@given(text=st.recursive(ATOMS, larger, max_leaves=6), arguments=ARGUMENTS)
def test_both_ways_come_to_the_same(text: str, arguments: dict[str, Any]) -> None:
    """True, false, or an error of the same kind."""
    try:
        condition = Condition(text)
    except ConditionInvalid:
        return
    evaluation = evaluation_of(arguments)
    assert result_of(condition, evaluation, quickly=True) == result_of(condition, evaluation, quickly=False)


DECIDED = [
    ("args.amount > 500 && args.days <= 14", {"amount": 900, "days": 14}, True),
    ("has(args.reason) && args.reason.matches('(?i)urgent')", {}, False),
    ("has(args.reason) ? args.reason != '' : intent == null", {"reason": "x"}, True),
    ("args.to.exists(one, one.endsWith('@example.org')) || args.missing", {"to": ["a@example.org"]}, True),
    ("size(args.to) == 2 && args.to.all(one, !(one in ['a', 'b']))", {"to": ["c", "d"]}, True),
    ("args.changes['amount'] * 2 > -1", {"changes": {"amount": 1}}, True),
]
UNDECIDED = [
    ("args.missing > 1 || args.a", {"a": True}),  # the other side makes up for it
    ("args.list.map(d, d + 1) == [2]", {"list": [1]}),
    ("type(args.a) == int", {"a": 1}),
    ("{'a': 1}.a == args.a", {"a": 1}),
    ("args.a && true", {"a": "no truth value"}),
]


@pytest.mark.parametrize(("text", "arguments", "holds"), DECIDED)
def test_what_ends_without_an_error_needs_no_evaluator(
    text: str, arguments: dict[str, Any], holds: bool
) -> None:
    """So most calls are judged without the walk through the tree."""
    condition, evaluation = Condition(text), evaluation_of(arguments)
    assert bool(condition._quick(Call(evaluation.variables(condition.names), evaluation.ends_at))) is holds


@pytest.mark.parametrize(("text", "arguments"), UNDECIDED)
def test_the_rest_is_left_to_the_evaluator(text: str, arguments: dict[str, Any]) -> None:
    """What it makes of an error, it alone knows."""
    condition, evaluation = Condition(text), evaluation_of(arguments)
    with pytest.raises((Undecided, KeyError)):
        condition._quick(Call(evaluation.variables(condition.names), evaluation.ends_at))
