"""Arguments and their tool: whether they are valid, and what the tool makes of them."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fastmcp.exceptions import ValidationError
from fastmcp.server.dependencies import without_injected_parameters
from fastmcp.tools import Tool
from fastmcp.tools.function_tool import FunctionTool
from fastmcp.utilities.types import get_cached_typeadapter
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import to_jsonable_python
from referencing import Registry


async def check_arguments(tool: Tool, arguments: dict[str, Any]) -> None:
    """Raise the error that an invalid call of the tool gets without the gateway."""
    if isinstance(tool, FunctionTool):
        try:
            _signature_check(tool.fn).validate_python(arguments)
        except PydanticValidationError as error:
            raise ValidationError(str(error)) from error
        return
    # An empty registry: a schema must not make the gateway fetch what it refers to.
    validator = Draft202012Validator(tool.parameters, registry=Registry())
    mistake = best_match(validator.iter_errors(arguments))
    if mistake is not None:
        raise ValidationError(f"Invalid arguments for tool {tool.name!r}: {mistake.message}")


def as_the_tool_takes_them(tool: Tool | None, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as their tool gets them: FastMCP makes 365 of "365", and true of "yes".

    What rules on a call has to see what the tool will see; what is stored and executed stays as it came.
    """
    if not isinstance(tool, FunctionTool):
        return arguments
    taken = _signature_check(tool.fn).validate_python(arguments)
    return {name: to_jsonable_python(taken.get(name, value)) for name, value in arguments.items()}


@lru_cache(maxsize=1024)
def _signature_check(function: Callable[..., Any]) -> TypeAdapter[Any]:
    """Checks arguments as FastMCP does, on a function of the same parameters that only returns them."""
    called = without_injected_parameters(function)

    def nothing(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return kwargs

    nothing.__name__ = called.__name__
    nothing.__qualname__ = called.__qualname__
    nothing.__module__ = called.__module__
    nothing.__annotations__ = inspect.get_annotations(called) | {"return": Any}
    nothing.__signature__ = inspect.signature(called).replace(return_annotation=Any)  # type: ignore[attr-defined]
    return get_cached_typeadapter(nothing)
