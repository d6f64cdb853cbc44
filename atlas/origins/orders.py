"""Whether a text from outside speaks to the agent: gives it orders, claims authority, presses, or hides."""

import re

from atlas.models import plain_text
from atlas.traces import Order

INSTRUCTION = re.compile(r"\b(ignore|disregard|forget)\b.{0,40}\b(instruction|prompt|previous)", re.I | re.S)


def orders_in(text: str, *, case_id: str | None = None) -> tuple[Order, ...]:
    """The passages of a text that speak to the agent, at most three."""
    found = INSTRUCTION.search(text)
    if found is None:
        return ()
    passage = plain_text(text[max(0, found.start() - 60) : found.end() + 60])[:200]
    return (Order(kind="instruction", passage=passage, case_id=case_id),)
