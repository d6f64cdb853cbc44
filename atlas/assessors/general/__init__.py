"""The general rules: a score for a call of a tool that no rule names, without asking any model."""

from typing import NamedTuple

from pydantic import Field

from atlas.assessors import Question
from atlas.assessors.general.signs import signs_of
from atlas.models import Frozen

__all__ = ["GeneralScore", "score_generally"]


class GeneralScore(Frozen):
    """What the general rules say of one call."""

    score: int = Field(ge=0, le=100)
    classification: str
    reasons: tuple[str, ...]  # clauses that a semicolon joins


class Sign(NamedTuple):
    """What a sign adds to the score of its deed, and what a reviewer is told."""

    reading: int  # points where the call only reads
    acting: int  # points where it does something
    reason: str


# Points of each deed and the class of a call that does it; exactly one of them applies. They are written from
# general knowledge: points fitted to labelled calls did worse on other calls (benchmarks/figures_log.md).
DEEDS: dict[str, tuple[int, str, str]] = {
    "reads": (10, "reading", "it reads or computes"),
    "creates": (40, "creation", "it creates or stores something"),
    "changes": (40, "change", "it changes something that exists"),
    "schedules": (45, "commitment", "it makes a commitment for a person"),
    "stops": (50, "stop", "it cancels, stops or blocks something"),
    "controls": (50, "physical control", "it controls a device"),
    "sends": (55, "communication", "it sends or publishes something"),
    "executes": (60, "execution of code", "it runs a command or code"),
    "unknown": (70, "unknown deed", "what the tool does could not be told from its name or description"),
    "deletes": (70, "deletion", "it deletes something, which can rarely be undone"),
    "shares": (70, "granting of access", "it gives a person access"),
    "pays": (70, "movement of money", "it moves money or makes a purchase"),
}
SIGNS: dict[str, Sign] = {
    "about_money": Sign(5, 10, "it concerns money"),
    "about_credentials": Sign(60, 20, "it concerns passwords, keys or other secrets"),
    "about_health": Sign(20, 25, "it concerns health data"),
    "about_people": Sign(20, 20, "it concerns personal data"),
    "about_access": Sign(5, 30, "it concerns who may do what"),
    "about_physical": Sign(5, 30, "it concerns a machine, a vehicle or a door"),
    "about_public": Sign(0, 15, "what it does can be seen by the public"),
    "amount": Sign(0, 5, "an amount is named"),
    "large_amount": Sign(5, 10, "the amount is large"),
    "outside": Sign(15, 15, "an address that can lie outside the organisation is named"),
    "free_mail": Sign(0, 5, "an address is one that every person can open"),
    "sensitive": Sign(20, 15, "the arguments hold what looks like sensitive data"),
    "many": Sign(5, 5, "it reaches many at once"),
    "everything": Sign(5, 15, "it asks for everything at once"),
    "forced": Sign(5, 15, "it asks for force, or for what cannot be taken back"),
    "harmful_command": Sign(25, 25, "the command can do harm"),
    "unknown_command": Sign(10, 10, "the command is not among those known only to look"),
    "says_destructive": Sign(20, 20, "the tool says that it destroys"),
    "unasked_deed": Sign(0, 25, "the request that the agent names does not ask for such a deed"),
    "unasked_recipient": Sign(0, 15, "the recipient is not named in the request that the agent names"),
    "other_tool": Sign(5, 5, "the request that the agent names mentions nothing of what the tool is called"),
    "other_values": Sign(5, 0, "no value in the arguments comes from the request that the agent names"),
    "other_matter": Sign(5, 5, "the request that the agent names is about another matter"),
    "off_topic": Sign(15, 10, "the call has nothing in common with the request that the agent names"),
}
PARTLY_READ = "the arguments are longer than the rules read, so a person should look"
PARTLY_READ_SCORE = 70
READ_ONLY_POINTS = 5
SURE = 70  # points beyond count two fifths, so that the gravest calls still differ


def score_generally(question: Question) -> GeneralScore:
    """Score a call by what is generally known of risk; a claim about the request can only raise the score."""
    seen = set(signs_of(question))
    if question.tool.is_destructive:
        seen.add("says_destructive")
    deed = next(name for name in DEEDS if name in seen)
    points, classification, reason = DEEDS[deed]
    noticed = {
        sign.reason: added
        for name, sign in SIGNS.items()
        if name in seen and (added := sign.reading if deed == "reads" else sign.acting)
    }
    score = points + sum(noticed.values())
    if question.tool.is_read_only and deed == "reads" and not question.tool.is_destructive:
        score -= READ_ONLY_POINTS
    reasons = [reason, *noticed]
    if "partly_read" in seen:
        score, reasons = max(score, PARTLY_READ_SCORE), [*reasons, PARTLY_READ]
    if score > SURE:
        score = min(100, SURE + (score - SURE) * 2 // 5)
    return GeneralScore(score=max(0, score), classification=classification, reasons=tuple(reasons))
