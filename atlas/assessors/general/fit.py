"""What the vocabulary of the general rules says of a call for others: its deed, its targets, its fit."""

from typing import Any

from atlas.assessors import Question
from atlas.assessors.general import words as vocabulary
from atlas.assessors.general.claims import ASKS
from atlas.assessors.general.reading import CLAIM_CHARACTERS, is_listed, stems
from atlas.assessors.general.signs import ADDRESS, DEEDS, IDENTIFIER, signs_of


def deed_of(question: Question) -> str:
    """The one deed of a call, such as `reads`, `sends` or `pays`; `unknown` if it could not be told."""
    seen = signs_of(question)
    return next((deed for deed in DEEDS if deed in seen), "unknown")


def asks_for(deed: str, request: str) -> bool:
    """Whether a request asks for a deed, by its words."""
    asked = ASKS.get(deed)
    return asked is None or bool(stems(request[:CLAIM_CHARACTERS]) & asked)


def is_target(key: str, value: Any) -> bool:
    """Whether a value says to whom, where to or on what a call acts, by its name or its form."""
    if is_listed(key, vocabulary.RECIPIENT_KEYS):
        return True
    return isinstance(value, str) and bool(ADDRESS.search(value) or IDENTIFIER.search(value))
