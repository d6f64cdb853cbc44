"""Whether a request asks for a deed: by a verb, or by its matter and a wish to have it settled."""

from functools import lru_cache

from atlas.assessors.general import asking_words as vocabulary
from atlas.assessors.general.claims import STOP, topics_of
from atlas.assessors.general.reading import CLAIM_CHARACTERS, NAME_CHARACTERS, stem, words
from atlas.assessors.general.signs import DEED_OF_STEM

VERBS = {deed: frozenset(map(stem, listed)) for deed, listed in vocabulary.ASKING_VERBS.items()}
MATTERS = {deed: frozenset(map(stem, listed)) for deed, listed in vocabulary.ASKING_MATTERS.items()}
GIVING = frozenset(map(stem, vocabulary.GIVING))
WISHES = frozenset(map(stem, vocabulary.WISHES))
# Of what? "Tell Bob" says it all, "add" does not.
MANY_KINDS = frozenset(("creates", "changes", "schedules", "stops"))
# "The file that I deleted" asks for nothing; "I want the old file deleted" does.
BEFORE_PARTICIPLE = frozenset(vocabulary.BEFORE_PARTICIPLE)
WORDS_BEFORE_PARTICIPLE = 4


def asks_for(deed: str, request: str, *, tool_name: str = "") -> bool:
    """Whether the words of a request ask for a deed; a deed that is not known by what the tool is called."""
    if deed == "reads":
        return True
    said = _said(request[:CLAIM_CHARACTERS])
    named = _named(tool_name[:NAME_CHARACTERS])
    if named and named <= said:
        return True
    matter = said & MATTERS.get(deed, frozenset())
    if said & VERBS.get(deed, frozenset()):
        return deed not in MANY_KINDS or _is_about(named, said)
    return bool(matter) and (deed == "executes" or bool(said & (WISHES | GIVING)))


def _is_about(named: frozenset[str], said: frozenset[str]) -> bool:
    """Whether a request can mean what the tool is named after; "create" alone asks for no calendar entry."""
    objects = named - DEED_OF_STEM.keys()
    topics = topics_of(objects)
    return not topics or bool(objects & said or topics & topics_of(said))


@lru_cache(maxsize=256)
def _said(request: str) -> frozenset[str]:
    """The words of a request near their base form, without what it says was done already."""
    said = words(request)
    told = {
        word
        for place, word in enumerate(said)
        if not (word.endswith("ed") and len(word) > 4)  # "need" and "feed" are no participles
        or not BEFORE_PARTICIPLE.isdisjoint(said[max(0, place - WORDS_BEFORE_PARTICIPLE) : place])
    }
    return frozenset(stem(word) for word in told)


def _named(tool_name: str) -> frozenset[str]:
    """What the tool is called, without words that many tools have."""
    return frozenset(stem(word) for word in words(tool_name) if len(word) > 2) - STOP
