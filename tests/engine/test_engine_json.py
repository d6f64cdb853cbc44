"""The quick way to the canonical form gives the same bytes as the SDK's library."""

import json

import jcs
import pytest

from atlas.engine.errors import NotJson
from atlas.engine.json_text import canonicalise, parse_json


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


LARGEST = 2**1024 - 2**971  # of the doubles


def test_a_number_that_has_no_form_is_not_taken():
    """Right: it is refused when it comes in. Wrong: it is kept, and can't be signed with each call."""
    for digits in (str(2**1024), "9" * 400, "-" + "9" * 400, "9" * 5000):
        with pytest.raises(NotJson, match="too large to be signed"):
            parse_json(f'{{"n": [{digits}]}}')
    assert parse_json(f'{{"n": {LARGEST}, "text": "{"9" * 400}"}}') == {"n": LARGEST, "text": "9" * 400}
    assert canonicalise(str(LARGEST)) == b"1.7976931348623157e+308"


def test_a_number_that_was_kept_before_it_was_refused_is_told_in_a_sentence():
    """Right: its run fails. Wrong: an error that no one expects, at each call."""
    with pytest.raises(NotJson, match="too large to be signed"):
        canonicalise('{"n": ' + "9" * 400 + "}")
