"""The texts of an answer that later calls are compared with."""

from typing import Any

import pytest

from atlas.origins.results import MOST_CHARACTERS, text_of_result

TEXT = {"type": "text", "text": "from eve"}
PICTURE = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
OF_PROTOCOL = {"fastmcp": {"wrap_result": True}, "io.modelcontextprotocol/serverInfo": {"name": "eve"}}
LINK = {"type": "resource_link", "name": "a note", "uri": "notes://eve"}

CASES: list[tuple[dict[str, Any] | None, tuple[str, bool]]] = [
    (None, ("", False)),
    ({}, ("", False)),
    ({"content": [TEXT, TEXT]}, ("from eve\nfrom eve", False)),
    ({"content": [TEXT, PICTURE]}, ("from eve", True)),  # a picture can hold text that is not read
    (
        {"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "inside"}}]},
        ("a:b\ninside", False),
    ),
    ({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": "AAAA"}}]}, ("a:b", True)),
    ({"content": [LINK | {"mimeType": "to/eve"}]}, ("a note\nnotes://eve\nto/eve", False)),
    ({"content": [TEXT | {"_meta": {"a": 1}}], "_meta": {"b": 2}}, ('from eve\n{"b": 2}\n{"a": 1}', False)),
    ({"content": [TEXT], "_meta": OF_PROTOCOL}, ("from eve", False)),
    ({"content": [LINK]}, ("a note\nnotes://eve", False)),  # where a link leads, and how it is called
    ({"content": [TEXT], "structuredContent": {"result": "from eve"}}, ("from eve", False)),  # the same twice
    ({"content": [{"text": '{"a": 1}'}], "structuredContent": {"a": 1}}, ('{"a": 1}', False)),  # and as JSON
    ({"content": [TEXT], "structuredContent": {"a": 1}}, ('from eve\n{"a": 1}', False)),  # something else
    ({"content": [{"text": "[" * 9000}], "structuredContent": {"a": 1}}, ("[" * 9000 + '\n{"a": 1}', False)),
    ({"content": [{"text": ""}]}, (" ", False)),  # an empty text is all that there was
    ({"content": [{"text": "a" * MOST_CHARACTERS + "b"}]}, ("a" * MOST_CHARACTERS, True)),
]


@pytest.mark.parametrize(("result", "expected"), CASES, ids=[str(result)[:50] for result, _ in CASES])
def test_the_texts_of_an_answer_are_taken_once_and_what_is_left_out_is_told(
    result: dict[str, Any] | None, expected: tuple[str, bool]
) -> None:
    """An answer that could hold more makes a trace incomplete."""
    assert text_of_result(result) == expected
