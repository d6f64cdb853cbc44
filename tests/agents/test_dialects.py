"""Schemas of other servers: what of them can be used is checked here, and the rest is the server's."""

from typing import Any

import pytest

from atlas.agents.dialects import usable
from atlas.agents.schemas import mistake_in

INTEGER = {"type": "integer"}
DRAFT = "http://json-schema.org/draft-{}/schema#"
LATER = "https://json-schema.org/draft/{}/schema"
TUPLE = {"a": {"type": "array", "items": [INTEGER, {"type": "string"}]}}
BOUND = {"a": {"type": "integer", "minimum": 0, "exclusiveMinimum": True}}


def schema_of(properties: Any, **others: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties} | others


def said(schema: dict[str, Any], arguments: dict[str, Any]) -> str | None:
    return mistake_in(arguments, schema, is_theirs=True)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (schema_of(TUPLE), [1, "x"], ["x"]),
        (schema_of(TUPLE) | {"$schema": DRAFT.format("06")}, [1, "x"], ["x"]),
        (schema_of(TUPLE) | {"$schema": DRAFT.format("07")}, [1, "x"], ["x"]),
        (schema_of(TUPLE) | {"$schema": DRAFT.format("07").replace("http:", "https:")}, [1, "x"], ["x"]),
        (schema_of(TUPLE) | {"$schema": LATER.format("2019-09")}, [1, "x"], ["x"]),
        # It names a dialect that has no such items, and its keywords show which one is meant.
        (schema_of(TUPLE) | {"$schema": LATER.format("2020-12")}, [1, "x"], ["x"]),
        (schema_of({"a": {"prefixItems": [INTEGER]}}), [1, "x"], ["x"]),
        (schema_of(BOUND), 1, 0),
        (schema_of(BOUND) | {"$schema": DRAFT.format("04")}, 1, 0),
        (schema_of({"a": {"dependencies": {"x": ["y"]}}}), {"x": 1, "y": 2}, {"x": 1}),
        (schema_of({"a": {"dependentRequired": {"x": ["y"]}}}), {"x": 1, "y": 2}, {"x": 1}),
        (schema_of({"a": {"$ref": "#/definitions/n"}}, definitions={"n": INTEGER}), 1, "x"),
        (schema_of({"a": {"$ref": "#/$defs/n"}}, **{"$defs": {"n": INTEGER}}), 1, "x"),
        (schema_of({"a": {"$ref": "#"}}), {"a": {}}, 5),
    ],
)
def test_a_schema_is_read_in_its_own_dialect(schema: dict[str, Any], good: Any, bad: Any) -> None:
    """Right: the dialect is the named one, else what the keywords show; all of it is checked."""
    assert usable(schema).unchecked == ()
    assert said(schema, {"a": good}) is None
    assert said(schema, {"a": bad}) is not None


@pytest.mark.parametrize(
    ("schema", "good", "place"),
    [
        (schema_of({"a": {"type": "int"}, "b": INTEGER}), {"a": "x"}, "properties.a.type"),
        (schema_of({"a": {"$ref": "#/definitions/no"}, "b": INTEGER}), {"a": 1}, "properties.a.$ref"),
        (schema_of({"a": {"$ref": "https://x.test/a.json"}, "b": INTEGER}), {"a": 1}, "properties.a.$ref"),
        (schema_of({"a": {"$dynamicRef": "#no"}, "b": INTEGER}), {"a": 1}, "properties.a.$dynamicRef"),
        (schema_of({"b": INTEGER}, required=None), {}, "required"),
        (schema_of({"b": INTEGER}, required=True), {}, "required"),
        (schema_of({"a": {"minimum": "3"}, "b": INTEGER}), {"a": 1}, "properties.a.minimum"),
        (schema_of({"a": {"enum": "x"}, "b": INTEGER}), {"a": 1}, "properties.a.enum"),
        (schema_of({"a": {"anyOf": [5, INTEGER]}, "b": INTEGER}), {"a": "x"}, "properties.a.anyOf"),
        # Without the type inside of it, `not` would refuse everything, so that it goes as a whole.
        (schema_of({"a": {"not": {"type": "int"}}, "b": INTEGER}), {"a": 1}, "properties.a.not.type"),
        (
            schema_of({"a": {"oneOf": [{"type": "int"}, {}]}, "b": INTEGER}),
            {"a": 1},
            "properties.a.oneOf.0.type",
        ),
        (
            schema_of(
                {"a": {"not": {"$ref": "#/definitions/n"}}, "b": INTEGER}, definitions={"n": {"type": "int"}}
            ),
            {"a": 1},
            "definitions.n.type",
        ),
    ],
)
def test_what_cannot_be_used_is_left_to_the_server(schema: dict[str, Any], good: Any, place: str) -> None:
    """Right: no value is refused for a part that no one can check. The rest is checked."""
    assert usable(schema).unusable == (place,)
    assert said(schema, good) is None
    assert said(schema, {"b": "x"}) == "'x' is not of type 'integer'"


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"type": "object", "properties": 5}, {"type": "objekt"}])
def test_a_schema_that_is_of_no_use_refuses_nothing(schema: dict[str, Any]) -> None:
    """Right: the server is asked. An error of a library is no answer to an agent."""
    assert said(schema, {"a": 1}) is None


def test_names_beside_names_that_cannot_be_read_are_not_refused() -> None:
    """Right: without `properties` no one could say which names are additional."""
    schema = schema_of({"a": 5}, additionalProperties=False)
    assert said(schema, {"a": 1}) is None


def test_a_default_that_looks_like_a_schema_is_none() -> None:
    """Right: only what stands where a schema stands is read as one."""
    schema = schema_of({"type": {"default": {"type": "int"}, "enum": [{"pattern": "x"}]}})
    assert usable(schema).unchecked == ()


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (INTEGER, "5"),
        ({"type": "number"}, "0.5"),
        ({"type": "boolean"}, "true"),
        ({"type": "array", "items": {"type": "string"}}, '["a"]'),
        ({"type": "object"}, '{"a": 1}'),
        ({"anyOf": [INTEGER, {"type": "null"}]}, "5"),
    ],
)
def test_a_text_for_something_else_is_refused_with_how_to_send_it(wanted: Any, sent: str) -> None:
    """Right: how a server would read a text is not known, and what is approved has to be what it reads."""
    mistake = said(schema_of({"a": wanted}), {"a": sent})
    assert mistake is not None and mistake.endswith(f": send {sent} as JSON, not as a text in quotes")


@pytest.mark.parametrize("sent", ["five", "", "0.5", '"5"', "[" * 100_000])
def test_a_text_that_means_nothing_else_gets_no_such_advice(sent: str) -> None:
    """Right: the mistake alone."""
    mistake = said(schema_of({"a": INTEGER}), {"a": sent})
    assert mistake is not None and "as JSON" not in mistake
