"""Whether what a tool answers comes from third parties: mail, web pages, tickets, files that others write.

The policy says it first, then the servers file. For all other tools it is a careful default by their words:
in doubt a tool speaks for third parties.
"""

from typing import NamedTuple

from atlas.assessors import ToolFacts, Trust
from atlas.assessors.general.reading import DESCRIPTION_CHARACTERS, NAME_CHARACTERS, words


def _listed(*texts: str) -> frozenset[str]:
    return frozenset(word for text in texts for word in text.split())


# What others write, wherever it is kept.
OTHERS = _listed(
    "mail email inbox mailbox gmail outlook imap attachment newsletter spam web webpage website page url",
    "http https html browser browse crawl scrape internet rss feed news article blog wiki site link",
    "online forum thread discussion post tweet twitter reddit social comment review rating feedback",
    "survey reply opinion testimonial complaint ticket issue jira github gitlab git repository repo",
    "commit pull readme message chat channel slack teams discord sms whatsapp telegram conversation",
    "notification voicemail transcript calendar event appointment meeting invitation attendee file folder",
    "directory document doc drive dropbox pdf spreadsheet sheet note notebook download content",
    "transaction payment statement invoice bill receipt donation transfer contact profile people bio",
    "candidate applicant resume lead users",
)
# What the house writes itself, and figures that have no room for a text.
HOUSE = _listed(
    "balance iban password setting config configuration preference permission policy status version time",
    "date day clock timezone calculate calculator calculation compute math convert conversion sum",
    "multiply random uuid hash unit account order reservation booking stock inventory price cost rate",
    "hour user count quota usage limit health metric sensor temperature device schedule flight",
)
# Words by which even a record of the house holds a text of others.
FREE_TEXT = _listed(
    "review comment message feedback invitation webpage website internet ticket note third external",
    "public",
)
# A tool that makes something answers with what the agent gave, unless it fetches.
MAKES = _listed(
    "send create post write append add upload insert publish share invite pay draft reserve place log",
    "make",
)
# Verbs in front of a name, and nouns behind.
IN_FRONT = _listed(
    "schedule book order reply forward transfer",
)
# A tool that changes something can answer with what stood there before.
CHANGES = _listed(
    "update set change modify edit delete remove cancel close lock unlock enable disable reset rename",
)
READS = _listed(
    "get read list search find fetch show view check retrieve query download browse lookup look open load",
    "history status details info results",
)
FETCHES = _listed(
    "http https request webhook browser curl fetch crawl scrape navigate execute run shell ask",
)


class Standing(NamedTuple):
    """For whom a tool speaks."""

    is_outside: bool
    because: str  # for an operator: a part of a sentence


def is_outside(tool: ToolFacts, *, by_policy: Trust | None = None) -> bool:
    """Whether a tool speaks for third parties; `by_policy` is what the rules say, which holds before all."""
    return by_policy == "outside" if by_policy else standing_of(tool).is_outside


def standing_of(tool: ToolFacts) -> Standing:
    """For whom a tool speaks where the policy says nothing, and why."""
    if tool.trust is not None:
        return Standing(tool.trust == "outside", f'the servers file says "trust": "{tool.trust}"')
    if tool.is_open_world:
        return Standing(True, "the tool says that its world is open (openWorldHint)")
    if tool.is_open_world is False and _is_own(tool):
        return Standing(False, "the gateway offers it itself, and its world is closed")
    return _by_name(tool) or _by_description(tool)


def _is_own(tool: ToolFacts) -> bool:
    """Whether it is there and no server behind the gateway offers it, so that its hints are ours."""
    return tool.upstream is None and tool.definition_sha256 is not None


def _by_name(tool: ToolFacts) -> Standing | None:
    name = _words_of_name(tool)
    if _makes(name):
        return Standing(False, "by its name it makes something, and answers with what the agent gave")
    others = next((word for word in name if _is_in(word, OTHERS)), None)
    if others is not None:
        return Standing(True, f'its name has the word "{others}"')
    if tool.is_open_world is False:
        return Standing(False, "the tool says that its world is closed (openWorldHint)")
    return None


def _words_of_name(tool: ToolFacts) -> list[str]:
    """The words of its name as far as these say what it answers: not by what it finds that."""
    name = words(tool.name[:NAME_CHARACTERS])
    return name[: name.index("by")] if "by" in name[1:] else name


def _is_in(word: str, listed: frozenset[str]) -> bool:
    """Whether a word is listed, also where it stands there in the singular."""
    singular = f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")
    return word in listed or singular in listed or word.removesuffix("es") in listed


def _makes(name: list[str]) -> bool:
    """Whether a name says that something is made: the last word can be a noun, as in `latest_post`."""
    verbs = MAKES.intersection(name[:-1]) or IN_FRONT.intersection(name[:1]) or {"send"}.intersection(name)
    return bool(verbs) and not (READS | FETCHES).intersection(name)


def _by_description(tool: ToolFacts) -> Standing:
    name, said = _words_of_name(tool), words(tool.description[:DESCRIPTION_CHARACTERS])
    house = next((word for word in name if _is_in(word, HOUSE)), None)
    if house is not None and not any(_is_in(word, FREE_TEXT) for word in said):
        return Standing(False, f'its name has the word "{house}", and its description no text of others')
    others = next((word for word in said if _is_in(word, OTHERS)), None)
    if others is not None:
        return Standing(True, f'its description has the word "{others}"')
    if CHANGES.intersection(name) and not READS.intersection(name):
        return Standing(False, "by its name it changes something, and its description has no text of others")
    return Standing(True, "nothing says that only the house writes what it answers")
