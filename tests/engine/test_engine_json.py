"""The quick way to the canonical form gives the same bytes as the SDK's library."""

import json

import jcs
import pytest

from atlas.engine.json_text import canonicalise


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": [True, None, -0, 999_999_999_999_999], "": {}},
        {"n": 0.1, "big": 2**60, "e": 1e30, "minus": -1.0},
        [1.5, 12345678901234567890, -3],
        {"\u20ac": 1, "\U0001f600": 2, "\ufb33": 3, "\u0080": 4},
        {"t": '\x00\x1f\x7f\u2028"\\/\b\f\n\r\t', "sha": "8e10", "u": "\U0001f600"},
        {"at": "2026-11-23T10:42:07.250+00:00", "n": [0.5, 1e-9, -2.5e20], "last": 1e21},
        2.0,
        {"outer": {"10": 1, "9": 2, "a": {"b": [[], {}]}}},
    ],
)
def test_both_ways_give_the_same_bytes(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, separators=(",", ":"))):
        assert canonicalise(text) == jcs.canonicalize(value)
