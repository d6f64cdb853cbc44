"""The canonical form that Inngest's SDK signs is the one that its own library writes, made sooner."""

import json
from typing import Any

import jcs
import pytest
from inngest._internal import transforms

from atlas.workflow import canonical_form
from atlas.workflow.canonical_form import quicken_sdk

VALUES: list[Any] = [
    {"ctx": {"attempt": 0, "run_id": "01K"}, "event": {"data": {"b": None, "a": [True, False]}}, "steps": {}},
    {"ts": 1_764_187_200_123, "id": "evt_0123456789abcdef"},
    {"at": "2026-11-27T10:00:00.000001Z", "amount": 12.5, "tiny": 1e-7, "whole": 100000.0, "zero": -0.0},
    {"large": 2**53 - 1, "larger": 10**15},
    {"\ue000": 1, "\U0001f600": 2, "a": 3, "é": 4},  # which UTF-16 sorts in another order
    {"text": 'quote " backslash \\ slash / tab \t null \x00 delete \x7f line \u2028'},
    [[], {}, "", [[[1]]]],
    "a text",
    0,
    None,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: json.dumps(value)[:30])
def test_the_sdk_signs_the_same_bytes(value: Any) -> None:
    """For what the standard library writes, and for what is left to the SDK's own library."""
    quicken_sdk()
    assert transforms.canonicalize(json.dumps(value).encode()) == jcs.canonicalize(value)


def test_what_has_no_form_is_refused_as_before() -> None:
    """A lone surrogate is no Unicode: the SDK gets the error of its own library."""
    quicken_sdk()
    assert isinstance(transforms.canonicalize(b'{"half": "\\ud800"}'), Exception)


def test_the_sdk_asks_for_the_form_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the SDK has changed, and makes its form by itself again."""
    asked: list[Any] = []
    monkeypatch.setattr(canonical_form, "plain_json", asked.append)
    quicken_sdk()
    transforms.canonicalize(b'{"a": 1}')
    assert asked == [{"a": 1}]
