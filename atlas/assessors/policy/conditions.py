"""Conditions of policy rules: CEL, checked as far as possible when the policy is read, and compiled once."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import celpy
from celpy.celparser import CELParseError
from celpy.celtypes import BoolType
from celpy.evaluation import base_functions
from lark import Token, Tree

from atlas.assessors import ToolFacts
from atlas.assessors.general.signs import DEEDS as KNOWN_DEEDS
from atlas.assessors.policy.counting import TAKES, mistakes_in_count
from atlas.assessors.policy.evaluation import (
    ANNOTATIONS,
    OPERATIONS,
    VARIABLES,
    Evaluation,
    TookTooLong,
    is_pattern,
    is_value,
    literal_of,
)
from atlas.assessors.policy.facts import CALL, ORIGIN, SESSION
from atlas.assessors.policy.quick import Call, quick
from atlas.assessors.policy.trees import MACROS, arguments_of, inner_of, name_of

# What can follow a name and a dot; `args` is not here, because the agent says what is in it.
FIELDS: dict[str, tuple[str, ...]] = {
    "tool": (*ToolFacts.model_fields, "annotations"),
    "tool.annotations": ANNOTATIONS,
    "principal": (),
    "intent": (),
    "user_request": (),
    "session": tuple(SESSION),
    "call": tuple(CALL),
}
DEEDS = (*KNOWN_DEEDS, "unknown")
FUNCTIONS = {name for name in base_functions if name.isidentifier()} - {"null_type"} | {"has", "dyn"}
TYPES = {"bool", "bytes", "double", "int", "string", "uint", "list", "map", "null_type"} | {
    "duration",
    "timestamp",
}
DEEPEST = 1000  # levels of the grammar, of which a pair of brackets has eight, on any version of Python
NO_CEL = re.compile(r"\b(?:and|or|not|None|True|False)\b|(?<![=!<>])=(?!=)")


class ConditionInvalid(Exception):
    """A condition that can be refused before any call, with the reason."""


class Condition:
    """One condition, ready to be evaluated from any thread."""

    def __init__(self, text: str) -> None:
        """Compile a condition; raises ConditionInvalid with a part of a sentence for an administrator."""
        self.text = text
        try:
            self._tree = _checked(text)
            self.names = _named(self._tree)
            self._program = _environment().program(self._tree, functions=OPERATIONS)
            self._quick = quick(self._tree, self.names)
        except CELParseError as error:
            raise ConditionInvalid(_said_by_cel(text, error)) from error
        except RecursionError:
            raise ConditionInvalid("is nested too deeply") from None

    @property
    def folds(self) -> bool:
        """Whether it uses reduce(), with which some signs make a text that fills the memory."""
        calls = self._tree.find_data("member_dot_arg")
        return any(name_of(call) == "reduce" for call in calls)

    def holds_quickly(self, evaluation: Evaluation) -> bool:
        """Whether it holds for a call, where its functions can say; any error means that they cannot."""
        return _truth(self._quick(Call(evaluation.variables(self.names), evaluation.ends_at)))

    def holds(self, evaluation: Evaluation) -> bool:
        """Whether it holds for a call; raises what `Evaluation` raises, or TypeError."""
        variables = evaluation.variables(self.names)
        try:
            return self.holds_quickly(evaluation)
        except TookTooLong:
            raise
        except Exception:  # what becomes of it, CEL's own evaluator says
            return _truth(evaluation.value(self._tree, self._program.new_activation(), variables))


def _truth(value: Any) -> bool:
    if not isinstance(value, BoolType):
        raise TypeError("neither true nor false")
    return bool(value)


def _checked(text: str) -> "Tree[Token]":
    """The condition as it is evaluated; raises ConditionInvalid, CELParseError and RecursionError."""
    tree: Tree[Token] = _environment().compile(text)
    if _levels(tree) > DEEPEST:
        raise ConditionInvalid("is nested too deeply")
    for literal in tree.find_data("literal"):
        if not is_value(literal):
            raise ConditionInvalid(f"writes {literal.children[0]}, which is no value of CEL")
    if (mistake := next(_mistakes(tree, frozenset(VARIABLES)), None)) is not None:
        raise ConditionInvalid(mistake)
    if _is_never_bool(tree):
        raise ConditionInvalid("is never true or false")
    return _without_detours(tree)


def _levels(tree: Tree[Token]) -> int:
    """How deep it is, without a call for each level."""
    deepest, left = 0, [(tree, 1)]
    while left:
        node, level = left.pop()
        deepest = max(deepest, level)
        left += [(child, level + 1) for child in node.children if isinstance(child, Tree)]
    return deepest


@cache
def _environment() -> celpy.Environment:
    return celpy.Environment()


# What the grammar puts around every value for operators that are not there: most of the work.
DETOURS = {"conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member"}


def _without_detours(tree: Tree[Token]) -> Tree[Token]:
    """The same condition without the operators that have one operand and no sign."""
    children = [_without_detours(child) if isinstance(child, Tree) else child for child in tree.children]
    if tree.data in DETOURS and len(children) == 1 and isinstance(children[0], Tree):
        return children[0]
    return Tree(tree.data, children, tree.meta)


def _mistakes(tree: Tree[Token], bound: frozenset[str]) -> Iterator[str]:
    """What a condition names that is not there; a macro's variables are there within the macro."""
    kind, name = str(tree.data), name_of(tree)
    if kind in ("ident", "dot_ident") and name not in bound | TYPES:
        yield f'names "{name}"; a condition knows {", ".join(VARIABLES)}'
    if kind in ("ident_arg", "dot_ident_arg") and name not in FUNCTIONS:
        yield f"calls {name}(), which is no function of CEL"
    if kind == "member_dot_arg" and name not in FUNCTIONS | MACROS.keys() | TAKES.keys():
        yield f"calls .{name}(), which is no function of CEL"
    if kind.endswith("_arg") and name == "has" and len(arguments_of(tree)) != 1:
        yield "needs one argument in has(), such as has(args.amount)"
    if kind.endswith("_arg") and name == "matches" and not all(map(is_pattern, _literals(tree))):
        yield "has a pattern in matches() that is no regular expression (RE2)"
    if kind == "member_object":
        yield "builds a message with { }, which no condition needs"
    if kind == "member_dot_arg" and name in TAKES:
        yield from mistakes_in_count(name, _path(tree.children[0]), [*map(_said, arguments_of(tree))])
    if kind == "relation" and len(tree.children) == 2:
        yield from _mistakes_in_deed(*tree.children)
    if kind in ("member_dot", "member_index"):
        said = name if kind == "member_dot" else _said(tree.children[1])
        if isinstance(said, str):
            yield from _mistakes_in_name(tree.children[0], said)
    if kind == "member_dot_arg" and name in MACROS:
        yield from _mistakes_in_macro(tree, name, bound)
        return
    for child in tree.children:
        if isinstance(child, Tree):
            yield from _mistakes(child, bound)


def _mistakes_in_name(owner: Any, name: str) -> Iterator[str]:
    """What is wrong with a name after a dot, or in brackets where the condition itself writes it."""
    path = _path(owner)
    if _is_origin(owner) and name not in ("", *ORIGIN):
        how = 'a value inside an argument is written origin["to[0].email"]'
        yield f'names "{path or "origin[…]"}.{name}"; an origin has {", ".join(ORIGIN)}; {how}'
    elif name not in ("", *FIELDS.get(path, (name,))):
        known = ", ".join(FIELDS[path])
        yield f'names "{path}.{name}"; ' + (f"{path} has {known}" if known else f"{path} is a text")


def _mistakes_in_deed(left: Any, right: Any) -> Iterator[str]:
    """A deed that there is not, which no call would ever have."""
    for one, other in ((left, right), (right, left)):
        inner = inner_of(other)
        said = map(_said, arguments_of(inner) if inner.data == "list_lit" else [inner])
        wrong = [deed for deed in said if deed is not None and str(deed) not in DEEDS]
        if wrong and _path(one) == "call.deed":
            yield f'compares call.deed with "{wrong[0]}"; a deed is {", ".join(DEEDS)}'


def _is_origin(node: Any) -> bool:
    """Whether it is one entry of `origin`, such as origin.recipient or origin[name]."""
    inner = inner_of(node)
    return inner.data in ("member_dot", "member_index") and _path(inner.children[0]) == "origin"


def _said(node: Any) -> Any:
    """The value of a part that is a literal; None where only a call can say."""
    inner = inner_of(node) if isinstance(node, Tree) else node
    return literal_of(inner) if isinstance(inner, Tree) and inner.data == "literal" else None


def _named(tree: Tree[Token]) -> frozenset[str]:
    """The variables that a condition names."""
    parts = [part for part in tree.iter_subtrees() if part.data in ("ident", "dot_ident")]
    return frozenset(map(name_of, parts)) & VARIABLES.keys()


def _mistakes_in_macro(tree: Tree[Token], name: str, bound: frozenset[str]) -> Iterator[str]:
    binds, takes = MACROS[name]
    arguments = arguments_of(tree)
    names = [inner_of(argument) for argument in arguments[:binds]]
    if len(arguments) != takes or any(inner.data != "ident" for inner in names):
        yield f"needs {takes} arguments in .{name}()" + (f", such as .{name}(d, d > 1)" if takes == 2 else "")
    if "google" in map(name_of, names):  # where celpy has a package, which goes before what a macro binds
        yield f"binds google in .{name}(), which CEL keeps for itself"
    owner = tree.children[0]
    for part, known in [
        (owner, bound),
        *((part, bound | set(map(name_of, names))) for part in arguments[binds:]),
    ]:
        if isinstance(part, Tree):
            yield from _mistakes(part, known)


def _literals(tree: Tree[Token]) -> Iterator[Tree[Token]]:
    """The last argument of a function, where it is a text in the condition itself."""
    for argument in arguments_of(tree)[-1:]:
        if (inner := inner_of(argument)).data == "literal":
            yield inner


def _is_never_bool(tree: Tree[Token]) -> bool:
    inner = inner_of(tree)
    if inner.data == "literal":
        return inner.children[0] not in ("true", "false")
    return inner.data in ("addition", "multiplication", "list_lit", "map_lit")


def _path(node: Any) -> str:
    """The dotted name that a part of a condition is, or nothing where it is more than that."""
    inner = inner_of(node)
    if inner.data in ("ident", "dot_ident"):
        return name_of(inner)
    return f"{_path(inner.children[0])}.{name_of(inner)}" if inner.data == "member_dot" else ""


def _said_by_cel(text: str, error: CELParseError) -> str:
    lines, at = text.splitlines(), (error.line or 0) - 1
    is_at_end = getattr(getattr(error.__context__, "token", None), "type", "") == "$END"
    is_there = 0 <= at < len(lines) and not is_at_end
    rest = lines[at][(error.column or 1) - 1 :].strip() if is_there else ""
    said = f'is no CEL from "{rest[:40]}" on' if rest else "ends too early for CEL"
    return said + ("; CEL writes ==, &&, ||, !, true, false, null" if NO_CEL.search(text) else "")
