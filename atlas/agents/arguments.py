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
from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import to_jsonable_python

from atlas.models import UPSTREAM_META


async def check_arguments(tool: Tool, arguments: dict[str, Any]) -> None:
    """Raise ValidationError, with a sentence on what is wrong, for arguments that the tool would refuse."""
    if isinstance(tool, FunctionTool):
        try:
            _signature_check(tool.fn).validate_python(arguments)
        except PydanticValidationError as error:
            # Not its own text, which names an address elsewhere and repeats what was sent.
            mistakes = "; ".join(_sentence(mistake) for mistake in error.errors(include_url=False))
            raise ValidationError(f"Invalid arguments for tool {tool.name!r}: {mistakes}.") from error
        return
    from atlas.agents.schemas import mistake_in  # its jsonschema takes 4 MB

    is_theirs = UPSTREAM_META in (tool.meta or {})
    mistake = mistake_in(arguments, tool.parameters, is_theirs=is_theirs)
    if mistake is not None:
        raise ValidationError(f"Invalid arguments for tool {tool.name!r}: {mistake}")


def not_checked(tool: Tool | None) -> tuple[str, ...]:
    """Where in the schema of a tool of another server something stands that only that server checks."""
    if tool is None or UPSTREAM_META not in (tool.meta or {}):
        return ()
    from atlas.agents.dialects import usable

    return usable(tool.parameters).unchecked


def _sentence(mistake: Any) -> str:
    """One mistake that pydantic found: where, and what is expected there."""
    place = ".".join(str(part) for part in mistake["loc"])
    said = str(mistake["msg"]).removeprefix("Value error, ")
    return f"{place}: {said[:1].lower()}{said[1:]}"


def as_the_tool_takes_them(tool: Tool | None, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as their tool gets them: FastMCP makes 365 of "365", and true of "yes".

    The judges of a call have to see what the tool will see; what is stored and executed stays as it came.
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
