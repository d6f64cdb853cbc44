"""A text and the arguments of a call that were made for each other do not stop the calls of other agents."""

import time
from typing import Any

import pytest

from atlas.assessors import Earlier, Question, ToolFacts
from atlas.origins.tracing import trace

LONG = 100_000  # characters of an answer that are compared
SEVEN = [str(1_000_003 + 7919 * number)[-7:] for number in range(200)]


def _times(text: str) -> str:
    return text * (LONG // len(text))


COSTLY: dict[str, tuple[str, list[Any]]] = {
    "a number with a digit before each place of it": (_times("9 1 000 "), [1000] * 200),
    "the same number in 200 ways": (_times("9 1 000 "), [f"1000 {chr(65 + at % 26)}AB" for at in range(200)]),
    "accounts among thousands of others": (_times(" ".join(SEVEN) + " "), list(SEVEN)),
    "phones that are not there": (_times("2345678 "), [f"+49 17 {digits}" for digits in SEVEN]),
    "one digit alone": ("1" * LONG, ["1" * length for length in range(7, 60)]),
    "words of two digits": (_times("11 "), ["1" * length for length in range(7, 60)]),
    "characters that become a sentence each": ("\ufdfa" * LONG, ["eve@example.net"]),
    "half of an address": (_times("a@"), [f"{'a' * 90}@example.net"] * 200),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_no_text_makes_a_call_costly(kind: str) -> None:
    """Without bounds the first took 300 seconds of CPU, in which the gateway answered no other agent."""
    text, values = COSTLY[kind]
    earlier = tuple(
        Earlier(case_id=f"evt_{number:016x}", tool_name="read_email", result=text, is_outside=True)
        for number in range(20)
    )
    arguments = {"payments": [{"recipient": value} for value in values]}
    asked = Question(tool=ToolFacts(name="send_money"), arguments=arguments, principal="a", earlier=earlier)
    begun = time.thread_time()
    trace(asked, trusts_request=False)
    assert time.thread_time() - begun < 10


def test_what_was_not_looked_for_is_not_taken_for_known() -> None:
    """Where the looks were not enough the trace says so, and a person decides."""
    text = _times("2345678 ") + " +49 17 3456789"
    earlier = tuple(
        Earlier(case_id=f"evt_{number:016x}", tool_name="read_email", result=text, is_outside=True)
        for number in range(20)
    )
    arguments = {"payments": [{"recipient": f"+49 17 {digits}"} for digits in [*SEVEN, "3456789"]]}
    asked = Question(tool=ToolFacts(name="send_money"), arguments=arguments, principal="a", earlier=earlier)
    assert not trace(asked, trusts_request=False).is_complete
