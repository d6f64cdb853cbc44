"""What of a server's JSON schema can be used here: its dialect, and a copy without the parts that cannot."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from jsonschema import Draft4Validator, Draft7Validator, Draft201909Validator, Draft202012Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from atlas.models import plain_text

ONE = frozenset(
    [
        "additionalItems",
        "additionalProperties",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
    ]
)  # keywords that hold a schema
SEVERAL = frozenset(["allOf", "anyOf", "oneOf", "prefixItems", "items"])  # that hold a list of them
NAMED = frozenset(
    ["properties", "$defs", "definitions", "dependentSchemas", "dependencies"]
)  # that map names to them
# A part less inside of these can make the whole stricter, so that it goes as a whole.
WHOLE = frozenset(["not", "oneOf", "if", "contains", "additionalItems"])
# One regular expression of a server could hold up all agents, and the last two look into patternProperties.
PATTERNS = frozenset(["pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems"])
# What the first of each means depends on those beside it.
BESIDE = {
    "additionalProperties": ("properties", "patternProperties"),
    "additionalItems": ("items",),
    "items": ("prefixItems",),
}
REFERENCES = frozenset(("$ref", "$dynamicRef", "$recursiveRef"))
DEEPEST = 100  # parts inside of parts
MOST_PLACES = 20  # that are named of one schema
LONGEST_PLACE = 120  # characters

Path = tuple[Any, ...]


class Usable(NamedTuple):
    """The part of a schema that is checked here, how, and where the rest stands in the schema."""

    schema: Any
    dialect: Any  # a class of jsonschema
    unusable: tuple[str, ...] = ()  # what no one could check
    patterns: tuple[str, ...] = ()  # what is left to the server

    @property
    def unchecked(self) -> tuple[str, ...]:
        """All that the server alone checks."""
        return (*self.unusable, *self.patterns)


def usable(schema: Any) -> Usable:
    """The usable part of a schema; what is left out only makes it accept more."""
    return _usable(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=1024)
def _usable(text: str) -> Usable:
    schema = json.loads(text)
    try:
        cuts: list[Usable] = []
        for dialect in _dialects(schema):
            cuts.append(_cut(schema, dialect))
            if not cuts[-1].unusable:
                break
        return min(cuts, key=lambda one: len(one.unusable))
    except Exception:
        # A schema that a library stumbles over, for its depth for instance: the server checks all of it.
        return Usable(True, Draft202012Validator, ("the whole schema",))


def _dialects(schema: Any) -> Iterator[Any]:
    """The dialect that the schema names, and the one that its keywords show; the first one is preferred."""
    named = validator_for(schema, default=None) if isinstance(schema, dict) else None
    if named is None and isinstance(schema, dict) and isinstance(schema.get("$schema"), str):
        other = schema["$schema"].replace("https://json-schema.org/draft-0", "http://json-schema.org/draft-0")
        named = validator_for({"$schema": other}, default=None)
    if named is not None:
        yield named
    yield _shown(schema)


def _shown(schema: Any) -> Any:
    """The dialect that the keywords are of; the newest, where they are of several."""
    parts = [part for _, part in _parts(schema)]

    def has(key: str, kind: type = object) -> bool:
        return any(key in part and isinstance(part[key], kind) for part in parts)

    if has("exclusiveMinimum", bool) or has("exclusiveMaximum", bool):
        return Draft4Validator
    if has("items", list) or has("additionalItems") or has("dependencies"):
        return Draft7Validator  # which takes what draft-06 takes
    return Draft201909Validator if has("$recursiveRef") else Draft202012Validator


def _parts(schema: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every schema inside a schema, with its place; never what only looks like one, such as a default."""
    if len(path) > DEEPEST:
        raise RecursionError
    if not isinstance(schema, dict):
        return
    yield path, schema
    for key, value in schema.items():
        if isinstance(value, dict) and key in ONE:
            yield from _parts(value, (*path, key))
        elif isinstance(value, list) and key in SEVERAL:
            for index, one in enumerate(value):
                yield from _parts(one, (*path, key, index))
        elif isinstance(value, dict) and key in NAMED:
            for name, one in value.items():
                yield from _parts(one, (*path, key, name))


def _cut(schema: Any, dialect: Any) -> Usable:
    wrong = {_keyword(tuple(one.absolute_path)) for one in dialect(dialect.META_SCHEMA).iter_errors(schema)}
    if () in wrong:
        return Usable(True, dialect, ("the whole schema",))
    wrong |= set(_lost_references(schema, dialect))
    patterns = {(*path, key) for path, part in _parts(schema) for key in PATTERNS & part.keys()}
    cut = wrong | patterns
    copy = _without(schema, cut | set(_spoiled(schema, cut))) if cut else _without(schema, cut)
    return Usable(copy, dialect, _places(wrong), _places(patterns - wrong))


def _keyword(path: Path) -> Path:
    """The keyword in which a mistake stands: a mistake in a list of schemas costs the whole list."""
    place: Path = ()
    rest = list(path)
    while rest:
        key = rest.pop(0)
        place = (*place, key)
        # Only where a schema stands inside of this keyword can the mistake be deeper.
        steps = 1 if key in NAMED or (key in SEVERAL and rest and isinstance(rest[0], int)) else 0
        if key not in ONE | SEVERAL | NAMED or len(rest) <= steps:
            return place
        place, rest = (*place, *rest[:steps]), rest[steps:]
    return place


def _lost_references(schema: Any, dialect: Any) -> Iterator[Path]:
    """Where a reference stands that leads nowhere, or out of the schema: nothing is fetched."""
    specification = specification_with(dialect.META_SCHEMA.get("$schema", ""))
    root = Registry().resolver_with_root(specification.create_resource(schema))
    for path, part in _parts(schema):
        for key in REFERENCES & part.keys():
            try:
                root.lookup(part[key])
            except (Unresolvable, ValueError, TypeError, AttributeError):
                yield (*path, key)


def _spoiled(schema: Any, cut: set[Path]) -> Iterator[Path]:
    """What would accept less, or could not be read right, without the parts that are cut."""
    for path, part in _parts(schema):
        for key in part.keys() & WHOLE:
            place = (*path, key)
            # A reference may lead to a part that is less.
            if '"$ref"' in json.dumps(part[key]) or any(one[: len(place)] == place for one in cut):
                yield place
        for key, others in BESIDE.items():
            if key in part and any((*path, other) in cut for other in others):
                yield (*path, key)


def _without(schema: Any, cut: set[Path], path: Path = ()) -> Any:
    if isinstance(schema, list):
        return [_without(one, cut, (*path, index)) for index, one in enumerate(schema)]
    if not isinstance(schema, dict):
        return schema
    # Of a part only its keywords go; a name in `properties` is no keyword. No part names another dialect.
    return {
        key: _without(value, cut, (*path, key))
        for key, value in schema.items()
        if (*path, key) not in cut and not (key == "$schema" and isinstance(value, str))
    }


def _places(paths: set[Path]) -> tuple[str, ...]:
    places = sorted(".".join(plain_text(str(part)) for part in path)[:LONGEST_PLACE] for path in paths)
    return tuple(places[:MOST_PLACES])
