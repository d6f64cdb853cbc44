"""Checks arguments by the JSON schema of their tool: needed for the tools of other servers alone."""

from collections.abc import Iterator
from typing import Any

import attrs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaMistake
from jsonschema.exceptions import best_match
from jsonschema.validators import extend
from referencing import Registry


def _nothing(*_: Any) -> Iterator[SchemaMistake]:
    """Find no mistake."""
    yield from ()


def _others(validator: Any, schema: Any, instance: Any, parent: dict[str, Any]) -> Iterator[SchemaMistake]:
    """Check the properties that are not named; beside patterns no one could say which these are."""
    if "patternProperties" not in parent:
        yield from Draft202012Validator.VALIDATORS["additionalProperties"](
            validator, schema, instance, parent
        )


def _stay(self: Any, **changes: Any) -> Any:
    """The same kind of validator for a part of a schema, even if that part names another dialect."""
    return attrs.evolve(self, **changes)


# For the schemas of servers behind the gateway: one regular expression of theirs could hold up all agents,
# and they check their own patterns when they are called.
WithoutPatterns: Any = extend(
    Draft202012Validator,
    {
        "pattern": _nothing,
        "patternProperties": _nothing,
        "additionalProperties": _others,
        "unevaluatedProperties": _nothing,  # which looks into patternProperties
    },
)
WithoutPatterns.evolve = _stay


def mistake_in(arguments: dict[str, Any], schema: dict[str, Any], *, with_patterns: bool) -> str | None:
    """What is wrong with arguments, in the words of jsonschema; None if nothing is."""
    checks = Draft202012Validator if with_patterns else WithoutPatterns
    # An empty registry: a schema must not make the gateway fetch what it refers to.
    mistake = best_match(checks(schema, registry=Registry()).iter_errors(arguments))
    return mistake.message if mistake is not None else None
