"""What can be noticed of a call without knowing its tool: its deed, its object, its reach, its fit."""

import re
from functools import lru_cache

from atlas.assessors import Question, ToolFacts
from atlas.assessors.general import shell
from atlas.assessors.general import words as vocabulary
from atlas.assessors.general.claims import misfit
from atlas.assessors.general.reading import (
    CLAIM_CHARACTERS,
    DESCRIPTION_CHARACTERS,
    NAME_CHARACTERS,
    Reading,
    Value,
    is_listed,
    read,
    stem,
    stems,
    words,
)

# From the gravest to the most harmless: of several deeds in a name, the first here counts.
DEEDS = {
    "pays": vocabulary.PAYS,
    "shares": vocabulary.SHARES,
    "deletes": vocabulary.DELETES,
    "executes": vocabulary.EXECUTES,
    "sends": vocabulary.SENDS,
    "controls": vocabulary.CONTROLS,
    "stops": vocabulary.STOPS,
    "schedules": vocabulary.SCHEDULES,
    "changes": vocabulary.CHANGES,
    "creates": vocabulary.CREATES,
    "reads": vocabulary.READS,
}
DEED_OF_STEM = {stem(word): deed for deed in reversed(DEEDS) for word in DEEDS[deed]}
OBJECTS = {
    name: frozenset(map(stem, words))
    for name, words in {
        "money": vocabulary.MONEY,
        "credentials": vocabulary.CREDENTIALS,
        "health": vocabulary.HEALTH,
        "people": vocabulary.PEOPLE,
        "access": vocabulary.ACCESS,
        "physical": vocabulary.PHYSICAL,
        "public": vocabulary.PUBLIC,
    }.items()
}
SENSITIVE = frozenset(stem(word) for word in vocabulary.SENSITIVE)
HARM = frozenset(stem(word) for word in vocabulary.HARM)
ADDRESS = re.compile(
    r"[\w.+-]{1,64}@([\w-]{1,63}(?:\.[\w-]{1,63}){1,4})|https?://|www\.|\+\d{7,15}|\b0x[0-9a-f]{8}"
)
IDENTIFIER = re.compile(
    r"\b\d{3}-\d{2}-\d{4}\b|\b(?:\d[ -]?){12,15}\d\b|\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b|-----BEGIN|\bsk-\w{16}"
)
FIGURES = re.compile(r"[^\w\s]{0,2}\s?(\d[\d,]{0,15})(?:\.\d{0,9})?\s?(?:\w{1,4}|\W)?")
LARGE_AMOUNT = 1000  # of anything that is counted


def signs_of(question: Question, *, named: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names of all signs that a call shows; exactly one of them is a deed.

    Texts that the user named (`named`) are no sign that something leaves the house.
    """
    reading = read(question.arguments)
    seen = _done(question.tool, reading) | _objects(question.tool, reading) | _reach(reading, named)
    if not reading.is_complete:
        seen.add("partly_read")
    if _speaks_of_harm(question, reading):
        seen.add("harm")
    for claim in (question.user_request, question.intent):
        if claim is not None and claim.strip():
            seen.update(misfit(question.tool, reading, next(iter(seen & {*DEEDS, "unknown"})), claim))
    return frozenset(seen)


def deed_of(question: Question) -> str:
    """The one deed of a call, such as `reads`, `sends` or `pays`; `unknown` if it could not be told."""
    seen = _done(question.tool, read(question.arguments))
    return next((deed for deed in DEEDS if deed in seen), "unknown")


def _done(tool: ToolFacts, reading: Reading) -> set[str]:
    """The deed, and what its commands are like."""
    deed = _deed(tool, reading)
    return _commands(deed, reading) if deed in ("executes", "unknown", "reads") else {deed}


def _speaks_of_harm(question: Question, reading: Reading) -> bool:
    claims = (claim[:CLAIM_CHARACTERS] for claim in (question.user_request, question.intent) if claim)
    texts = (value.content[:CLAIM_CHARACTERS] for value in reading.values if isinstance(value.content, str))
    name = question.tool.name[:NAME_CHARACTERS]
    return any(not HARM.isdisjoint(stems(text)) for text in (name, *claims, *texts))


def _deed(tool: ToolFacts, reading: Reading) -> str:
    named = words(tool.name[:NAME_CHARACTERS])
    actions = [
        words(value.content[:80])
        for value in reading.values
        if isinstance(value.content, str) and is_listed(value.key, vocabulary.ACTION_KEYS)
    ]
    clear = [deed for found in (named, *actions) if (deed := _clear_deed(found))]
    if not clear:
        clear = [deed for found in (*actions, named) if (deed := _ambiguous_deed(found))][:1]
    described = _deed_of_sentence(tool.description[:DESCRIPTION_CHARACTERS])
    if not clear or (set(clear) == {"reads"} and described != "unknown"):
        clear.append(described)
    deed = min(clear, key=list(DEEDS).index) if clear != ["unknown"] else "unknown"
    # Letters that look like others: "сheck_status" with a Cyrillic с is no known word.
    return "unknown" if deed == "reads" and not tool.name.isascii() else deed


@lru_cache(maxsize=4096)
def deed_named(tool_name: str) -> str:
    """The deed that the name of a tool tells, without its description and arguments."""
    named = words(tool_name[:NAME_CHARACTERS])
    return _clear_deed(named) or _ambiguous_deed(named) or "unknown"


def _clear_deed(found: list[str]) -> str | None:
    deed = next((deed for deed, verbs in DEEDS.items() if verbs.intersection(found)), None)
    return "pays" if deed == "sends" and not vocabulary.MEANS_OF_PAYMENT.isdisjoint(found) else deed


def _ambiguous_deed(found: list[str]) -> str | None:
    return next((vocabulary.AMBIGUOUS[word] for word in found if word in vocabulary.AMBIGUOUS), None)


def _deed_of_sentence(sentence: str) -> str:
    for word in words(sentence)[:4]:
        if (deed := DEED_OF_STEM.get(stem(word)) or vocabulary.AMBIGUOUS.get(word)) is not None:
            return deed
    return "unknown"


def _objects(tool: ToolFacts, reading: Reading) -> set[str]:
    first, _, _ = tool.description[:DESCRIPTION_CHARACTERS].partition(". ")
    named = stems(tool.name[:NAME_CHARACTERS])
    said = named | stems(first)
    keys = frozenset[str]().union(*(stems(value.key) for value in reading.values[:50]))
    heard = {"money": said | keys, "credentials": named}
    return {f"about_{name}" for name, listed in OBJECTS.items() if heard.get(name, said) & listed}


def _reach(reading: Reading, named: frozenset[str]) -> set[str]:
    seen = set()
    texts = [value.content for value in reading.values if isinstance(value.content, str)]
    if reading.longest_list > 3:
        seen.add("many")
    for value in reading.values:
        seen.update(_reach_of_value(value, is_named=value.content in named))
    if any(text.strip().lower() in ("*", "all", "/", "everyone", "any") for text in texts):
        seen.add("everything")
    return seen


def _reach_of_value(value: Value, *, is_named: bool) -> set[str]:
    seen = set()
    if isinstance(value.content, bool):
        if value.content and is_listed(value.key, vocabulary.FORCE_KEYS):
            seen.add("forced")
    elif isinstance(value.content, str) and not is_named:
        if match := ADDRESS.search(value.content):
            seen.add("outside")
            if (match[1] or "").lower() in vocabulary.FREE_MAIL:
                seen.add("free_mail")
        if IDENTIFIER.search(value.content) or stems(value.content) & SENSITIVE:
            seen.add("sensitive")
    if is_listed(value.key, vocabulary.AMOUNT_KEYS) and (amount := _amount(value.content)) is not None:
        seen.update(["amount"] if abs(amount) < LARGE_AMOUNT else ["amount", "large_amount"])
    return seen


def _amount(content: str | float | bool) -> float | None:
    if isinstance(content, bool):
        return None
    if not isinstance(content, str):
        return content
    figures = FIGURES.fullmatch(content.strip()[:40])
    return float(figures[1].replace(",", "")) if figures else None


def _commands(deed: str, reading: Reading) -> set[str]:
    keys = vocabulary.COMMAND_KEYS | (vocabulary.CODE_KEYS if deed == "executes" else set())
    texts = [
        value.content
        for value in reading.values
        if isinstance(value.content, str) and value.key.lower() in keys
    ]
    if not texts:
        return {deed}
    if any(shell.is_harmful(text) for text in texts):
        return {"executes", "harmful_command"}
    return {"reads"} if all(map(shell.only_looks, texts)) else {"executes", "unknown_command"}
