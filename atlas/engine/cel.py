"""What of expressions needs CEL, which takes 11 MB and a quarter of a second: imported when it is needed."""

import functools
import json
import logging
from collections.abc import Callable
from typing import Any

import celpy
import celpy.adapter
import celpy.celparser
import celpy.celtypes
import celpy.evaluation

from atlas.engine.errors import ExpressionInvalid

logging.getLogger("celpy").setLevel(logging.CRITICAL)  # its errors hold what events carry
_ERRORS = (celpy.evaluation.CELEvalError, ValueError, TypeError, KeyError, RecursionError)


def evaluate_in_cel(text: str, scope: dict[str, Any]) -> Any:
    """The value of an expression as JSON data, or None if it has none."""
    try:
        activation = {name: celpy.adapter.json_to_cel(event) for name, event in scope.items()}
        result = compile_in_cel(text).evaluate(activation)
        return json.loads(json.dumps(result, cls=celpy.adapter.CELJSONEncoder))
    except _ERRORS:
        return None


_NUMBERS = (celpy.celtypes.IntType, celpy.celtypes.UintType, celpy.celtypes.DoubleType)


def _comparison(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    # JSON has one kind of number, celpy three that don't compare with each other.
    def compared(left: Any, right: Any) -> Any:
        if isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS) and type(left) is not type(right):
            left, right = celpy.celtypes.DoubleType(left), celpy.celtypes.DoubleType(right)
        return compare(left, right)

    return compared


_COMPARISONS = {
    "_<_": _comparison(celpy.evaluation.bool_lt),
    "_<=_": _comparison(celpy.evaluation.bool_le),
    "_>_": _comparison(celpy.evaluation.bool_gt),
    "_>=_": _comparison(celpy.evaluation.bool_ge),
    "_==_": _comparison(celpy.evaluation.bool_eq),
    "_!=_": _comparison(celpy.evaluation.bool_ne),
}


@functools.lru_cache(maxsize=256)
def compile_in_cel(text: str) -> Any:
    """The program of an expression; raises ExpressionInvalid if it is not CEL."""
    environment = celpy.Environment()
    try:
        return environment.program(environment.compile(text), functions=_COMPARISONS)
    except celpy.celparser.CELParseError as error:
        raise ExpressionInvalid(f"{text!r} is not a CEL expression.") from error
