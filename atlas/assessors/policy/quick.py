"""A condition as Python functions, made once from CEL's own tree: the same result for a tenth of the work.

celpy reads the text and has what each operator and function does. Its evaluator walks through the tree at
each call, which takes a millisecond or more. Its transpiler is quick too, but keeps the variables of a call
in a module, where two threads would mix them. The functions here know only what ends without an error: the
rest is left to the evaluator.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from celpy.celtypes import BoolType, ListType, MapType, MessageType
from celpy.evaluation import CELEvalError, base_functions
from lark import Token, Tree

from atlas.assessors.policy.evaluation import OPERATIONS, TookTooLong, literal_of
from atlas.assessors.policy.trees import MACROS, arguments_of, inner_of, name_of


class Undecided(Exception):
    """Only CEL's own evaluator can say what this is, such as an error that another part makes up for."""


class Call:
    """The variables of one call, with those that a macro binds, and the thread time at which it is over."""

    __slots__ = ("ends_at", "variables")

    def __init__(self, variables: Mapping[str, Any], ends_at: float) -> None:
        self.variables = variables
        self.ends_at = ends_at

    def with_bound(self, name: str, value: Any) -> "Call":
        """The same for what a macro does with one element."""
        self.go_on()
        return Call({**self.variables, name: value}, self.ends_at)

    def go_on(self) -> None:
        """Raise TookTooLong if the time is over."""
        if time.thread_time() > self.ends_at:
            raise TookTooLong


Value = Callable[[Call], Any]  # raises Undecided, TookTooLong, and what CEL's functions raise
FUNCTIONS: dict[str, Callable[..., Any]] = {**base_functions, **OPERATIONS}
SIGNS = {
    "relation_lt": "_<_",
    "relation_le": "_<=_",
    "relation_gt": "_>_",
    "relation_ge": "_>=_",
    "relation_eq": "_==_",
    "relation_ne": "_!=_",
    "relation_in": "_in_",
    "addition_add": "_+_",
    "addition_sub": "_-_",
    "multiplication_mul": "_*_",
    "multiplication_div": "_/_",
    "multiplication_mod": "_%_",
    "unary_not": "!_",
    "unary_neg": "-_",
}
SETTLED_BY = {"all": False, "exists": True}  # the macros that end with the first such element


def quick(tree: Tree[Token], names: frozenset[str]) -> Value:
    """A condition over variables of these names as a function."""
    try:
        return _made(tree, names)
    except (Undecided, CELEvalError, RecursionError):  # at each call the evaluator is asked
        return _undecided


def _undecided(call: Call) -> Any:
    raise Undecided


def _made(node: Any, names: frozenset[str]) -> Value:
    make = MAKERS.get(node.data)
    if make is None:
        raise Undecided
    return make(node, names)


def _inner(node: Tree[Token], names: frozenset[str]) -> Value:
    """What has one part is that part."""
    if len(node.children) != 1:
        raise Undecided
    return _made(node.children[0], names)


def _choice(node: Tree[Token], names: frozenset[str]) -> Value:
    if len(node.children) != 3:
        return _inner(node, names)
    condition, chosen, other = (_made(child, names) for child in node.children)
    return lambda call: chosen(call) if _truth(condition(call)) else other(call)


def _joined(settles: bool) -> Callable[[Tree[Token], frozenset[str]], Value]:
    """`false && …` is false and `true || …` is true, even where the other side is an error."""

    def make(node: Tree[Token], names: frozenset[str]) -> Value:
        if len(node.children) != 2:
            return _inner(node, names)
        left, right = (_made(child, names) for child in node.children)
        settled = BoolType(settles)
        return lambda call: settled if _truth(left(call)) is settles else BoolType(_truth(right(call)))

    return make


def _operation(node: Tree[Token], names: frozenset[str]) -> Value:
    if len(node.children) != 2:
        return _inner(node, names)
    sign: Any = node.children[0]
    operands = [_made(child, names) for child in (*sign.children, node.children[1])]
    return _applied(SIGNS[sign.data], operands)


def _applied(name: str, operands: list[Value]) -> Value:
    """What a function of CEL makes of its operands."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise Undecided

    def value(call: Call) -> Any:
        given = [operand(call) for operand in operands]
        call.go_on()
        result = function(*given)
        if isinstance(result, CELEvalError):
            raise Undecided
        return result

    return value


def _field(node: Tree[Token], names: frozenset[str]) -> Value:
    owner, name = _made(node.children[0], names), name_of(node)
    return lambda call: _map(owner(call))[name]


def _has(node: Tree[Token], names: frozenset[str]) -> Value:
    """`has(owner.name)`."""
    field = inner_of(node)
    if field.data != "member_dot":
        raise Undecided
    owner, name = _made(field.children[0], names), name_of(field)
    return lambda call: BoolType(name in _map(owner(call)))


def _index(node: Tree[Token], names: frozenset[str]) -> Value:
    return _applied("_[_]", [_made(child, names) for child in node.children])


def _method(node: Tree[Token], names: frozenset[str]) -> Value:
    name, given = name_of(node), arguments_of(node)
    if name in SETTLED_BY:
        return _macro(node, name, names)
    if name in MACROS:
        raise Undecided
    return _applied(name, [_made(child, names) for child in (node.children[0], *given)])


def _macro(node: Tree[Token], name: str, names: frozenset[str]) -> Value:
    """`.all(bound, part)` or `.exists(bound, part)`."""
    binding, part = arguments_of(node)
    [bound] = map(name_of, binding.find_data("ident"))
    elements, settles = _made(node.children[0], names), SETTLED_BY[name]
    holds = _made(part, names | {bound})

    def value(call: Call) -> Any:
        truths = (_truth(holds(call.with_bound(bound, element))) for element in _elements(elements(call)))
        return BoolType(settles if any(truth is settles for truth in truths) else not settles)

    return value


def _function(node: Tree[Token], names: frozenset[str]) -> Value:
    name, given = name_of(node), arguments_of(node)
    if name == "has":
        return _has(given[0], names)
    return _applied(name, [_made(child, names) for child in given])


def _list(node: Tree[Token], names: frozenset[str]) -> Value:
    parts = [_made(child, names) for child in arguments_of(node)]
    return lambda call: ListType([part(call) for part in parts])


def _literal(node: Tree[Token], names: frozenset[str]) -> Value:
    value = literal_of(node)
    return lambda call: value


def _name(node: Tree[Token], names: frozenset[str]) -> Value:
    name = name_of(node)
    if name not in names:  # of a type, for example
        raise Undecided
    return lambda call: call.variables[name]


def _truth(value: Any) -> bool:
    if not isinstance(value, BoolType) or int(value) not in (0, 1):  # bool(2) of CEL keeps its number
        raise Undecided
    return bool(value)


def _map(value: Any) -> Any:
    if not isinstance(value, MapType) or isinstance(value, MessageType):
        raise Undecided
    return value


def _elements(value: Any) -> Any:
    if not isinstance(value, (ListType, MapType)):
        raise Undecided
    return value


MAKERS: dict[str, Callable[[Any, frozenset[str]], Value]] = {
    "expr": _choice,
    "conditionalor": _joined(True),
    "conditionaland": _joined(False),
    **dict.fromkeys(("relation", "addition", "multiplication", "unary"), _operation),
    **dict.fromkeys(("member", "primary", "paren_expr"), _inner),
    "member_dot": _field,
    "member_index": _index,
    "member_dot_arg": _method,
    "ident_arg": _function,
    "list_lit": _list,
    "literal": _literal,
    "ident": _name,
}
