"""The words of what was said, for tests that say which of them are not there."""

import re
from typing import Any


def whole_words(*values: Any) -> set[str]:
    """The whole words of texts, and of all texts in mappings and lists.

    A number is not found in a reference, digest, time or port, of which a part may be any number.
    """
    words: set[str] = set()
    for value in values:
        if isinstance(value, dict):
            words |= whole_words(*value, *value.values())
        elif isinstance(value, list | tuple):
            words |= whole_words(*value)
        else:
            words |= set(re.findall(r"\w+", str(value)))
    return words
