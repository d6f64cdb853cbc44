"""Definitions of tools: what is in them, what they are compared by, and how a change of one is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastmcp import FastMCP
from fastmcp.tools import Tool
from mcp.types import Icon, ToolAnnotations
from sqlalchemy.exc import SQLAlchemyError
from store import open_store

from atlas.cases.definitions import (
    LONGEST_DEFINITION,
    definition_of,
    definitions,
    differences,
    keep_definition,
    read_definition,
)


def tool(**fields: Any) -> Tool:
    """A tool that says such things of itself."""

    def write(path: str, text: str = "") -> str:
        """Write a file."""
        return path

    return Tool.from_function(write).model_copy(update=fields)


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"title": "Write"}, "its title"),
    ({"description": "Delete a file."}, "its description"),
    ({"output_schema": None}, "its output schema"),
    ({"meta": {"io.atlas/upstream": "files"}}, "the server that offers it"),
    ({"annotations": ToolAnnotations(destructive_hint=True)}, "what it declares (destructiveHint)"),
    ({"parameters": {"type": "object"}}, "its removed parameter path, its removed parameter text"),
    ({"title": "W", "description": "W", "output_schema": None}, "its title, its description and"),
]


@pytest.mark.parametrize(("said", "told"), CHANGES)
def test_what_has_changed_is_told_by_its_name(said: dict[str, Any], told: str) -> None:
    """A reviewer reads where to look."""
    before, after = definition_of(tool()), definition_of(tool(**said))
    assert before.sha256 != after.sha256
    assert differences(json.loads(before.text), json.loads(after.text)).startswith(told)


SCHEMAS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"properties": {"a": {}}}, {"properties": {"a": {}}, "required": ["a"]}, "its parameter a"),
    ({"properties": {"a": {}}}, {"properties": {"a": {}, "b": {}}}, "its new parameter b"),
    ({}, {"additionalProperties": True}, "its input schema"),
    ({"required": ["a", "b"]}, {"required": ["b", "a"]}, "its input schema"),
    (
        {"properties": {"a": {}}},
        {"properties": {"a": {"type": "string"}}, "additionalProperties": True},
        "its parameter a and the rest of its input schema",
    ),
    ({"properties": {}}, {"properties": {"a\u202eb\n": {}}}, "its new parameter ab "),
    ({"properties": 7, "required": 7}, {"properties": [], "required": "a"}, "its input schema"),
]


@pytest.mark.parametrize(("before", "after", "told"), SCHEMAS)
def test_a_changed_parameter_is_told_by_its_name_which_hides_nothing(
    before: dict[str, Any], after: dict[str, Any], told: str
) -> None:
    """Names come from servers that no one vouches for."""
    assert differences({"inputSchema": before}, {"inputSchema": after}) == told


def test_of_many_changed_parameters_the_first_are_named() -> None:
    """A sentence stays one that can be read."""
    many = {"inputSchema": {"properties": {f"{number:03}" * 40: {} for number in range(500)}}}
    told = differences({"inputSchema": {}}, many)
    assert told.endswith("and 492 more of its parameters") and len(told) < 800


def test_icons_and_other_meta_are_no_part_of_a_definition() -> None:
    """They may differ from run to run."""
    dressed = tool(icons=[Icon(src="https://example.org/i.png")], meta={"their/run": "4711"})
    assert definition_of(dressed) == definition_of(tool())


def test_the_same_tool_of_another_server_is_another_tool() -> None:
    """One server could else answer under the name and in the words of another."""
    one, same, other = (
        definition_of(tool(meta={"io.atlas/upstream": name, "their/run": run}))
        for name, run in (("files", "1"), ("files", "2"), ("others", "1"))
    )
    assert one == same and one.sha256 != other.sha256
    assert differences(json.loads(one.text), json.loads(other.text)) == "the server that offers it"


async def test_a_tool_has_the_same_definition_each_time_that_it_is_looked_up() -> None:
    """Else every call would go back to a person."""
    found = []
    for _ in range(2):
        server = FastMCP("twice")
        server.add_tool(tool())
        found += [await server.get_tool("write"), await server.get_tool("write")]
    assert len({definition_of(each).sha256 for each in found if each}) == 1


@pytest.mark.parametrize("odd", [2**63 - 1, -(2**63), float("inf"), "\udcff", [{"deep": float("nan")}]])
def test_a_schema_with_what_has_no_canonical_form_has_a_definition_all_the_same(odd: Any) -> None:
    """The bounds of a 64 bit integer stand in many a schema."""
    first = definition_of(tool(parameters={"type": "object", "default": odd}))
    assert first == definition_of(tool(parameters={"type": "object", "default": odd}))
    assert first.sha256 != definition_of(tool(parameters={"type": "object", "default": 1})).sha256


def test_of_a_definition_that_is_too_long_a_note_is_kept_and_the_digest_of_all_of_it() -> None:
    """Two that are too long are still told apart."""
    one, other = (definition_of(tool(description=end * LONGEST_DEFINITION)) for end in "ab")
    assert one.is_too_long and len(one.text) < 100 and one.sha256 != other.sha256
    assert not definition_of(tool()).is_too_long


async def test_a_definition_is_kept_once_and_never_changed(tmp_path: Path) -> None:
    """However many calls refer to it."""
    definition = definition_of(tool())
    async with open_store(tmp_path) as store:
        for _ in range(2):
            await store.database.write(lambda connection: keep_definition(connection, definition))
        read = await store.database.read(lambda connection: read_definition(connection, definition.sha256))
        assert read == json.loads(definition.text) and read["description"] == "Write a file."
        assert await store.database.read(lambda connection: read_definition(connection, "0" * 64)) == {}
        with pytest.raises(SQLAlchemyError, match="append-only"):
            await store.database.write(lambda connection: connection.execute(definitions.delete()))
