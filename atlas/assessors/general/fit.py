"""Which values of a call say to whom, where to or on what it acts, by the vocabulary of the general rules."""

import re
from typing import Any

from atlas.assessors.general import words as vocabulary
from atlas.assessors.general.reading import is_listed, words
from atlas.assessors.general.signs import ADDRESS, IDENTIFIER

LONGEST_TARGET = 100  # characters; a longer text is a body, even if it holds an address
NO_NAME = re.compile(r"[\s\d.,:/%+-]*|\W*")  # amounts, dates and times name nothing


def is_target(key: str, value: Any) -> bool:
    """Whether a value says to whom, where to or on what a call acts, by its name or its form.

    What is short and names something is a target: a recipient, an account, a file, a hotel. A text to send,
    an amount, a date, a switch and a way to sort are none.
    """
    if isinstance(value, bool) or value is None:
        return False
    if is_listed(key, vocabulary.TARGET_KEYS):
        return len(str(value)) <= LONGEST_TARGET or is_listed(key, vocabulary.RECIPIENT_KEYS)
    if not isinstance(value, str) or len(value) > LONGEST_TARGET:
        return False
    if ADDRESS.search(value) or IDENTIFIER.search(value):
        return True
    return vocabulary.PLAIN_KEYS.isdisjoint(words(key)[-1:]) and not NO_NAME.fullmatch(value)
