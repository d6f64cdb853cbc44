"""Whether a call fits what the agent says it is for, which can only speak against the call."""

from collections.abc import Iterable

from atlas.assessors import ToolFacts
from atlas.assessors.general import words as vocabulary
from atlas.assessors.general.reading import (
    CLAIM_CHARACTERS,
    NAME_CHARACTERS,
    Reading,
    is_listed,
    stem,
    stems,
)

OUTWARD = ("pays", "shares", "sends")
ASKS = {deed: frozenset(stem(word) for word in asked) for deed, asked in vocabulary.ASKS.items()}
ASKS["stops"] = ASKS["deletes"]
STOP = frozenset(stem(word) for word in vocabulary.STOP)
TOPICS: dict[str, set[str]] = {}
for topic, about in vocabulary.TOPICS.items():
    for word in about:
        TOPICS.setdefault(stem(word), set()).add(topic)


def misfit(tool: ToolFacts, reading: Reading, deed: str, claim: str) -> set[str]:
    """The signs that a call is not what the agent says it is for; no claim takes a sign away."""
    asked = stems(claim[:CLAIM_CHARACTERS])
    seen = set()
    if deed in ASKS and not asked & ASKS[deed]:
        seen.add("unasked_deed")
    if deed in OUTWARD and not _is_named(reading, claim[:CLAIM_CHARACTERS].lower(), asked):
        seen.add("unasked_recipient")
    named = _meaning(stems(tool.name[:NAME_CHARACTERS]))
    keys = _meaning(stems(" ".join(value.key for value in reading.values[:30])))
    given = _meaning(stems(" ".join(str(value.content)[:300] for value in reading.values[:30])))
    if not named & asked:
        seen.add("other_tool")
    if given and not given & asked:
        seen.add("other_values")
    if not topics_of(named | keys | given) & topics_of(asked):
        seen.add("other_matter")
        if not (named | keys | given) & asked:
            seen.add("off_topic")
    return seen


def _meaning(said: frozenset[str]) -> frozenset[str]:
    return frozenset(word for word in said if len(word) > 2 and word not in STOP)


def topics_of(said: Iterable[str]) -> set[str]:
    """What words, near their base form, are about."""
    return {topic for word in said for topic in TOPICS.get(word, ())}


def _is_named(reading: Reading, claim: str, asked: frozenset[str]) -> bool:
    recipients = [
        value.content
        for value in reading.values
        if isinstance(value.content, str)
        and is_listed(value.key, vocabulary.RECIPIENT_KEYS)
        and value.content.strip()
    ]
    return all(
        recipient.strip().lower() in claim or stems(recipient.partition("@")[0]) & asked
        for recipient in recipients[:50]
    )
