"""How a condition is evaluated on one call: as CEL says, within a time, and with one kind of number.

JSON knows no integers, so 900 and 900.0 compare here; everything else compares with its own kind only.
"""

import logging
import math
import operator
import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped] # celpy's own engine for patterns
from celpy.adapter import json_to_cel
from celpy.celtypes import BoolType, DoubleType, IntType, ListType, MapType, StringType, UintType
from celpy.evaluation import Activation, CELEvalError, Evaluator, base_functions
from lark import Token, Tree

from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy.counting import NotCounted, Session, calls, sum_of
from atlas.assessors.policy.facts import NotTraced, call_facts, origin_facts, session_facts

# Of this thread's own work, for all conditions of a call together: an agent chooses how long its lists are.
EVALUATION_SECONDS = 1.0
SHORT_SECONDS = 0.003  # for which a call may hold up all others: to another thread and back takes 0.2 ms
ANNOTATIONS = tuple(name for name in ToolFacts.model_fields if name.startswith("is_"))
SILENT = re2.Options()
SILENT.log_errors = False  # which would print patterns, and these may come from arguments
NUMBERS = (IntType, UintType, DoubleType)

logging.getLogger("celpy").setLevel(logging.CRITICAL)  # its errors hold the values of arguments


class TookTooLong(Exception):
    """The conditions of a call took more time than they may."""


VARIABLES: dict[str, Callable[[Question], Any]] = {
    "args": operator.attrgetter("arguments"),
    "tool": lambda question: _tool(question.tool),
    "principal": operator.attrgetter("principal"),
    "intent": operator.attrgetter("intent"),
    "user_request": operator.attrgetter("user_request"),
    "origin": origin_facts,
    "session": session_facts,
    "call": call_facts,
}


def _tool(tool: ToolFacts) -> dict[str, Any]:
    facts = tool.model_dump()
    return facts | {"annotations": {name: facts[name] for name in ANNOTATIONS}}


class Evaluation:
    """The variables of one call, made when a condition names them, and the time left for all conditions."""

    def __init__(self, question: Question, *, is_short: bool = False) -> None:
        """Take a call; its time begins."""
        self._question = question
        seconds = min(SHORT_SECONDS, EVALUATION_SECONDS) if is_short else EVALUATION_SECONDS
        self.ends_at = time.thread_time() + seconds
        self._variables: dict[str, Any] = {}

    def variables(self, names: Iterable[str]) -> dict[str, Any]:
        """The variables of these names, as CEL has them.

        Raises what it costs to make one: TookTooLong, NotTraced, another ValueError or RecursionError.
        """
        return {name: self._variable(name) for name in names}

    def _variable(self, name: str) -> Any:
        if name not in self._variables:
            value = self._to_cel(VARIABLES[name](self._question))
            self._variables[name] = Session(value, self._question) if name == "session" else value
        return self._variables[name]

    def _to_cel(self, value: Any) -> Any:
        if not isinstance(value, (dict, list, tuple)):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError("no number that JSON has")  # it is neither above nor below any limit
            return json_to_cel(value)
        if time.thread_time() > self.ends_at:
            raise TookTooLong
        if isinstance(value, dict):
            return MapType({StringType(key): self._to_cel(entry) for key, entry in value.items()})
        return ListType([self._to_cel(entry) for entry in value])

    def value(self, tree: Tree[Token], activation: Activation, variables: dict[str, Any]) -> Any:
        """What an expression over them is for this call; raises any error of CEL, and TookTooLong."""
        return _TimedEvaluator(tree, activation, self.ends_at).evaluate(variables)


class _TimedEvaluator(Evaluator):
    def __init__(self, tree: Tree[Token], activation: Activation, ends_at: float) -> None:
        super().__init__(tree, activation)
        self._ends_at = ends_at

    def sub_evaluator(self, ast: Tree[Token]) -> Evaluator:
        """The evaluator of what a macro does with each element."""
        return _TimedEvaluator(ast, self.activation, self._ends_at)

    def expr(self, tree: Tree[Token]) -> Any:
        """Every part of a condition passes here, and so does each element that a macro takes."""
        if time.thread_time() > self._ends_at:
            raise TookTooLong
        return super().expr(tree)

    def member_dot_arg(self, tree: Tree[Token]) -> Any:
        """A method or a macro."""
        return _or_error(super().member_dot_arg, tree)

    def primary(self, tree: Tree[Token]) -> Any:
        """A value, or a function."""
        return _or_error(super().primary, tree)

    def conditionalor(self, tree: Tree[Token]) -> Any:
        """Two sides, of which one can make up for an error of the other."""
        return _or_error(super().conditionalor, tree)

    def conditionaland(self, tree: Tree[Token]) -> Any:
        """Two sides, of which one can make up for an error of the other."""
        return _or_error(super().conditionaland, tree)


def _or_error(evaluate: Callable[[Tree[Token]], Any], tree: Tree[Token]) -> Any:
    """What a part is, or its error as a value, as CEL wants it; celpy does so for some kinds of errors."""
    try:
        return evaluate(tree)
    except (TookTooLong, RecursionError, MemoryError):
        raise
    except Exception as error:
        return error if isinstance(error, CELEvalError) else CELEvalError(str(error), type(error), error.args)


def why_not_evaluated(error: Exception) -> str:
    """What went wrong in a condition, without the values of the call: it is logged and kept."""
    missing = re.match(r"no such member in mapping: ('\w+')", str(error.args[0]) if error.args else "")
    if missing:
        return f"there is no {missing[1]}"
    if isinstance(error, TypeError) and "neither true nor false" in error.args:
        return "it is neither true nor false"
    if isinstance(error, NotTraced):
        return "where all values of the call came from could not be found out"
    if (uncounted := _uncounted(error)) is not None:
        return uncounted
    if isinstance(error, TookTooLong):
        return "it takes too long on these arguments"
    if isinstance(error, RecursionError):
        return "the arguments are nested too deeply"
    if isinstance(error, (CELEvalError, TypeError)):
        return "a value is missing or of another kind than it compares with"
    return f"a value cannot be used in it ({type(error).__name__})"


def _uncounted(error: Exception) -> str | None:
    """What could not be counted; CEL keeps the kind and the words of the error that it was told of."""
    said = error.args
    is_kept = isinstance(error, CELEvalError) and len(said) > 2 and said[1] is NotCounted
    return str(said[2][0]) if is_kept else None


def _comparison(compare: Callable[[Any, Any], Any], usual: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def compared(left: Any, right: Any) -> Any:
        kinds = {isinstance(value, BoolType) for value in (left, right) if value is not None}
        if len(kinds) > 1:  # in Python true is 1
            raise TypeError("a truth value compares with truth values only")
        if isinstance(left, NUMBERS) and isinstance(right, NUMBERS) and type(left) is not type(right):
            return BoolType(compare(_number(left), _number(right)))
        return usual(left, right)

    return compared


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, DoubleType) else int(value)


def matches(text: Any, pattern: Any) -> Any:
    """Whether a pattern is found in a text, in linear time; an error as CEL has it for a wrong pattern."""
    try:
        return BoolType(_compiled(pattern).search(text) is not None)
    except (re2.error, TypeError, UnicodeError) as error:  # a lone surrogate is no character for RE2
        return CELEvalError("match error", type(error), error.args)


@lru_cache(maxsize=128)  # as many as re2 keeps itself, which goes through all its options at each look
def _compiled(pattern: Any) -> Any:
    return re2.compile(pattern, SILENT)


def literal_of(literal: Tree[Token]) -> Any:
    """The value that a literal of a condition stands for."""
    return Evaluator(literal, Activation()).evaluate()


def is_value(literal: Tree[Token]) -> bool:
    """Whether a literal of a condition stands for a value, as `-1u`, 2^64 and "\\UFFFFFFFF" do not."""
    try:
        literal_of(literal)
    except (CELEvalError, ArithmeticError, TypeError, ValueError):  # celpy raises each of them
        return False
    return True


def is_pattern(literal: Tree[Token]) -> bool:
    """Whether a literal of a condition is a pattern for `matches`."""
    return not isinstance(matches("", literal_of(literal)), CELEvalError)


COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
OPERATIONS: dict[str, Callable[..., Any]] = {
    "matches": matches,
    "calls": calls,
    "sum": sum_of,
    **{
        f"_{sign}_": _comparison(compare, base_functions[f"_{sign}_"])
        for sign, compare in COMPARISONS.items()
    },
}
