"""The leaves of the arguments, with their paths."""

from typing import Any

import pytest

from atlas.origins.leaves import leaves_of

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"to": "a", "cc": ["b", {"c": 1}]}, {"to": "a", "cc[0]": "b", "cc[1].c": 1}),  # lists and mappings
    (
        {"payload": '{"user_id": 7, "to": ["a"]}'},
        {"payload.user_id": 7, "payload.to[0]": "a"},
    ),  # JSON in a text
    ({"payload": '{"inner": "{\\"to\\": \\"a\\"}"}'}, {"payload.inner.to": "a"}),  # and inside that
    ({"payload": "{no JSON"}, {"payload": "{no JSON"}),  # a text that only begins like JSON
    ({"payload": "[" * 5000}, {"payload": "[" * 5000}),  # JSON too deep for any reader
    (
        {"shares": {"eve@example.net": "writer"}},
        {"shares.keys[0]": "eve@example.net", "shares.eve@example.net": "writer"},
    ),  # a key that the agent chose
    ({"shares": {"role": "writer"}}, {"shares.role": "writer"}),  # a key of the schema
    ({"eve@example.net": 1}, {"eve@example.net": 1}),  # a parameter is no choice of the agent
    ({"empty": [], "nothing": {}, "none": None}, {"none": None}),  # what holds no value
]


@pytest.mark.parametrize(("arguments", "leaves"), CASES, ids=[str(arguments)[:40] for arguments, _ in CASES])
def test_each_leaf_has_its_path(arguments: dict[str, Any], leaves: dict[str, Any]) -> None:
    """Also inside a text that is JSON, and for a key that the agent chose."""
    found, is_whole = leaves_of(arguments)
    assert {leaf.path: leaf.value for leaf in found} == leaves
    assert is_whole
