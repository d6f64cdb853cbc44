"""CEL expressions over events: equalities are compared (and indexed) directly, only the rest runs in CEL.

A comparison with a missing field never matches, so a run can't be resumed by an event that lacks the field.
"""

import dataclasses
import functools
import hashlib
import json
import re
from typing import Any

from atlas.engine.errors import ExpressionInvalid

Scope = dict[
    str, Any
]  # the events an expression speaks of: "event", and "async" for the one that just arrived

_PATH = r"(?:event|async)(?:\.[A-Za-z_]\w*)+"
_OPERAND = rf"""{_PATH}|"[^"\\]*"|'[^'\\]*'|-?\d+(?:\.\d+)?|true|false|null"""
_EQUALITY = re.compile(rf"\s*({_OPERAND})\s*==\s*({_OPERAND})\s*")
_UNSPLITTABLE = re.compile(r"""\|\||\?|//|\"\"\"|'''|\\|\b[rRbB]{1,2}['"]""")
_MISSING = object()
_LONGEST_KEY = 200


@dataclasses.dataclass(frozen=True)
class Expression:
    """A conjunction: pairs of operands that must be equal, and CEL for what is left."""

    equalities: tuple[tuple[str, str], ...]
    rest: str

    def is_match(self, scope: Scope) -> bool:
        """Whether the events in scope satisfy the whole expression."""
        return all(_is_equal(left, right, scope) for left, right in self.equalities) and (
            not self.rest or evaluate(self.rest, scope) is True
        )

    def split_index(self) -> tuple[str, str, str]:
        """The path to look up in the arriving event, the operand it must equal, and the rest."""
        found = [
            (path, other, position)
            for position, (left, right) in enumerate(self.equalities)
            for path, other in ((left, right), (right, left))
            if path.startswith("async.") and not other.startswith("async.")
        ]
        if not found:
            return "", "", _to_text(self.equalities, self.rest)
        # What waits is told apart by its own event, and hardly by a literal, which may be the same for all.
        path, other, position = max(found, key=lambda candidate: candidate[1].startswith("event."))
        others = self.equalities[:position] + self.equalities[position + 1 :]
        return path.removeprefix("async."), other, _to_text(others, self.rest)


@functools.lru_cache(maxsize=1024)
def parse_expression(text: str) -> Expression:
    """The expression of a text; raises ExpressionInvalid if a part of it is not CEL."""
    equalities, rest = [], []
    for conjunct in _split_conjuncts(text):
        found = _EQUALITY.fullmatch(conjunct)
        if found:
            equalities.append((found[1], found[2]))
        elif conjunct.strip():
            rest.append(conjunct.strip())
    expression = Expression(tuple(equalities), " && ".join(rest))
    if expression.rest:
        from atlas.engine.cel import compile_in_cel

        compile_in_cel(expression.rest)
    return expression


def evaluate(text: str, scope: Scope) -> Any:
    """The value of an expression as JSON data, or None if it has none (a missing field, say)."""
    if re.fullmatch(_PATH, text.strip()):
        value = _resolve(text.strip(), scope)
        return None if value is _MISSING else value
    from atlas.engine.cel import evaluate_in_cel

    return evaluate_in_cel(text, scope)


def index_key(operand: str, scope: Scope) -> str | None:
    """The key of an operand's value, or None if it is missing: then nothing equals it."""
    value = _resolve(operand, scope)
    return None if value is _MISSING else value_key(value)


def value_key(value: Any) -> str:
    """One text per value, the same for values that CEL calls equal."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    key = json.dumps(value, sort_keys=True)
    return key if len(key) <= _LONGEST_KEY else "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def _split_conjuncts(text: str) -> list[str]:
    # CEL gets the whole text if anything in it is unusual: splitting is only an optimisation.
    if _UNSPLITTABLE.search(text):
        return [text]
    parts, start, depth, quote = [], 0, 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and text.startswith("&&", position):
            parts.append(text[start:position])
            start = position + 2
    parts.append(text[start:])
    if len(parts) > 1 and not all(part.strip() for part in parts):
        raise ExpressionInvalid(f"{text!r} is not a CEL expression.")
    return parts


def _to_text(equalities: tuple[tuple[str, str], ...], rest: str) -> str:
    parts = [f"{left} == {right}" for left, right in equalities]
    return " && ".join([*parts, rest] if rest else parts)


def _is_equal(left: str, right: str, scope: Scope) -> bool:
    key = index_key(left, scope)
    return key is not None and key == index_key(right, scope)


def _resolve(operand: str, scope: Scope) -> Any:
    if not operand.startswith(("event.", "async.")):
        return operand[1:-1] if operand[0] in "\"'" else json.loads(operand)
    first, *names = operand.split(".")
    value = scope.get(first, _MISSING)
    for name in names:
        value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
    return value
