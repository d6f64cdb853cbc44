"""Checks arguments by the JSON schema of their tool: needed for the tools of other servers alone."""

import json
from functools import lru_cache
from typing import Any

import attrs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaMistake
from jsonschema.exceptions import best_match
from jsonschema.validators import extend
from referencing import Registry

from atlas.agents.dialects import usable

LONGEST_VALUE = 60  # characters of a value, in a sentence on how to send it


def _stay(self: Any, **changes: Any) -> Any:
    """The same kind of validator for a part of a schema, even if that part names another dialect."""
    return attrs.evolve(self, **changes)


@lru_cache(maxsize=16)
def _checks(dialect: Any) -> Any:
    checks: Any = extend(dialect)
    checks.evolve = _stay
    return checks


def mistake_in(arguments: dict[str, Any], schema: dict[str, Any], *, is_theirs: bool) -> str | None:
    """What is wrong with arguments, in the words of jsonschema; None if nothing is.

    Of a schema of a server behind the gateway only what can be used is checked. The server checks the rest.
    """
    part, dialect = usable(schema)[:2] if is_theirs else (schema, Draft202012Validator)
    # An empty registry: a schema must not make the gateway fetch what it refers to.
    validator = _checks(dialect)(part, registry=Registry())
    try:
        mistake = best_match(validator.iter_errors(arguments))
    except Exception:
        if not is_theirs:
            raise
        return None  # a schema that refers to itself without end, for instance: the server checks it
    return mistake.message + _how_to_send(mistake, validator) if mistake is not None else None


def _how_to_send(mistake: SchemaMistake, validator: Any) -> str:
    """For a text in the place of a number, a list and the like: which server would read it how is unknown."""
    if mistake.validator not in ("type", "anyOf", "oneOf") or not isinstance(mistake.instance, str):
        return ""
    wanted = mistake.parent.schema if mistake.parent is not None else mistake.schema
    try:
        meant = json.loads(mistake.instance)
        if isinstance(meant, str) or not validator.evolve(schema=wanted).is_valid(meant):
            return ""
    except Exception:
        return ""  # it is no JSON, or not what could be meant
    shown = mistake.instance if len(mistake.instance) <= LONGEST_VALUE else "it"
    return f": send {shown} as JSON, not as a text in quotes"
