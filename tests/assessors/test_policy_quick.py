"""A condition as Python functions comes to what CEL's own evaluator says of it, also at random."""

import re
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
            "args.list[1]",
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
            "bool(args.b)",
            "args.none.exists(d, d == 1)",
            "args.a.all(d, d == args.b)",
            "int(1e308 * args.b * 10.0)",
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
    ("args.list[1] == 'b' && args.list[-1 + 1] == 'a'", {"list": ["a", "b"]}, True),
    ("args.list != null && args.list.exists(d, d == 1)", {"list": None}, False),
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


# As CEL says: what the other side, or another element, settles is no error. celpy alone raises for these.
SETTLED = [
    ("false && args.l.exists(x, x == 1)", {"l": None}, False),
    ("args.l.exists(x, x == 1) && false", {"l": 5}, False),
    ("args.l.exists(x, x.exists(y, y == 1))", {"l": [5, [1]]}, True),
    ("args.l.all(x, x.all(y, y == 1))", {"l": [[2], 5]}, False),
    ("args.safe || int(args.a * args.b) < 100", {"safe": True, "a": 1e308, "b": 1e308}, True),
    ("int(args.a * args.b) < 100 || args.safe", {"safe": True, "a": 1e308, "b": 1e308}, True),
    ("args.safe || duration('1h').getHours('UTC') > 3", {"safe": True}, True),
    ("args.b || (args.none == 1 && (args.ls + []) == [1])", {"b": True, "ls": 1}, True),
    ("(bool(args.n) || false) == true", {"n": 2}, False),
    ("args.l.all(x, bool(x)) == true", {"l": [1, 2]}, False),
]


@pytest.mark.parametrize(("text", "arguments", "holds"), SETTLED)
def test_an_error_that_another_part_settles_is_none_in_both_ways(
    text: str, arguments: dict[str, Any], holds: bool
) -> None:
    """Whichever side it stands on."""
    condition, evaluation = Condition(text), evaluation_of(arguments)
    ways = [result_of(condition, evaluation, quickly=quickly) for quickly in (True, False)]
    assert ways == [str(holds)] * 2


@pytest.mark.parametrize(
    "text",
    ["args.x in args.l", " || ".join(["(args.x in args.l)"] * 30), "args.l.exists(d, args.x in args.l)"],
)
def test_no_condition_takes_much_longer_than_it_may(text: str) -> None:
    """The time is looked at before each thing that is compared, and not only where a macro begins."""
    evaluation = evaluation_of({"l": [str(number) for number in range(3_000)], "x": "zz"})
    evaluation.variables(["args"])
    evaluation.ends_at = 0.0
    for quickly in (True, False):
        assert result_of(Condition(text), evaluation, quickly=quickly) == "TookTooLong"


WRONG = [
    ('args.a.matches("\\ud800")', "has a pattern in matches() that is no regular expression"),
    ('args.a == "\\UFFFFFFFF"', "which is no value of CEL"),
    ("args.a == b'\\U00000041'", "which is no value of CEL"),
    ("args.l.all(google, size(google) == 3)", "binds google in .all(), which CEL keeps for itself"),
]


@pytest.mark.parametrize(("text", "reason"), WRONG)
def test_what_celpy_itself_stumbles_over_is_refused_with_a_sentence(text: str, reason: str) -> None:
    """And not with a traceback at the start."""
    with pytest.raises(ConditionInvalid, match=re.escape(reason)):
        Condition(text)


@pytest.mark.parametrize(("text", "arguments"), UNDECIDED)
def test_the_rest_is_left_to_the_evaluator(text: str, arguments: dict[str, Any]) -> None:
    """What it makes of an error, it alone knows."""
    condition, evaluation = Condition(text), evaluation_of(arguments)
    with pytest.raises((Undecided, KeyError)):
        condition._quick(Call(evaluation.variables(condition.names), evaluation.ends_at))
