"""The general rules: a score for a call of a tool that no rule names, without asking any model."""

from typing import NamedTuple

from pydantic import Field

from atlas.assessors import Question
from atlas.assessors.general.session import ADDRESSED, CLAIMED, WRITTEN, named_by_user, signs_of_session
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
    "harm": Sign(20, 30, "the request or the arguments speak of what harms people or breaks the law"),
    "many": Sign(5, 5, "it reaches many at once"),
    "everything": Sign(5, 15, "it asks for everything at once"),
    "forced": Sign(5, 15, "it asks for force, or for what cannot be taken back"),
    "harmful_command": Sign(25, 25, "the command can do harm"),
    "unknown_command": Sign(10, 10, "the command is not among those known only to look"),
    "says_destructive": Sign(20, 20, "the tool says that it destroys"),
    "unasked_deed": Sign(0, 25, "the request does not ask for such a deed"),
    "unasked_recipient": Sign(0, 15, "the recipient is not named in the request"),
    "other_tool": Sign(5, 5, "the request mentions nothing of what the tool is called"),
    "other_values": Sign(5, 0, "no value in the arguments comes from the request"),
    "other_matter": Sign(5, 5, "the request is about another matter"),
    "off_topic": Sign(15, 10, "the call has nothing in common with the request"),
}
# Beside what the agent read and did before.
SESSION_SIGNS: dict[str, Sign] = {
    "ordered_value": Sign(20, 45, "a text that gives orders to the agent names a value of it"),
    "orders_read": Sign(5, 20, "a text from outside gave orders to the agent before"),
    "target_written": Sign(10, 35, "a text that was read, and not the user, names what it acts on"),
    "target_written_later": Sign(5, 20, "a text that was read names what it acts on, and the user does not"),
    "target_unseen": Sign(10, 35, "what it acts on may stand in a part of a result that was not compared"),
    "target_outside": Sign(5, 10, "what it acts on came from outside, and the user does not name it"),
    "target_read": Sign(0, 5, "what it acts on was read before, and the user does not name it"),
    "target_made": Sign(10, 15, "what it acts on stands in nothing that the agent read or was asked"),
    "not_asked": Sign(0, 30, "the user did not ask for such a deed"),
    "not_asked_after_outside": Sign(
        0, 30, "a text from outside was read, and the user did not ask for such a deed"
    ),
    "did_deeds": Sign(5, 0, "the session changed something before"),
    "did_grave_deeds": Sign(15, 0, "the session did before what can rarely be undone"),
    # Only where the client, not the model, says what the user asked for.
    "asked": Sign(0, -15, "the user asked for such a deed"),
    "asked_and_named": Sign(0, -30, "the user asked for such a deed and named what it acts on"),
}
# What an order of the user makes little milder: it can harm others, or show what is confidential.
GRAVE = frozenset(
    [
        "about_credentials",
        "about_health",
        "about_people",
        "about_access",
        "about_physical",
        "about_public",
        "sensitive",
        "large_amount",
        "everything",
        "forced",
        "harmful_command",
        "harm",
    ]
)
MILDER_OF_GRAVE = -10
ALL_SIGNS = SIGNS | SESSION_SIGNS
LEAST_OF_DEED = 30  # what the user asked for still does something
PARTLY_READ = "the arguments are longer than the rules read, so a person should look"
PARTLY_READ_SCORE = 70
READ_ONLY_POINTS = 5
SURE = 70  # points beyond count two fifths, so that the gravest calls still differ


def _points(sign: Sign, deed: str, *, is_grave: bool) -> int:
    if deed == "reads":
        return sign.reading
    return max(sign.acting, MILDER_OF_GRAVE) if is_grave else sign.acting


def _signs(question: Question) -> set[str]:
    """What is seen of the call, of its session, and of how it fits the request."""
    of_session = signs_of_session(question)
    if question.trace is None or not question.trace.is_request_known:
        return {*signs_of(question), *of_session}
    of_call = set(signs_of(question, named=named_by_user(question))) - CLAIMED
    if question.trace.is_asked and not of_session & (WRITTEN | {"orders_read"}):
        of_call -= ADDRESSED
    return of_call | of_session


def score_generally(question: Question) -> GeneralScore:
    """Score a call by what is generally known of risk; a claim about the request can only raise the score."""
    seen = _signs(question)
    if question.tool.is_destructive:
        seen.add("says_destructive")
    deed = next(name for name in DEEDS if name in seen)
    points, classification, reason = DEEDS[deed]
    noticed = {
        sign.reason: added
        for name, sign in ALL_SIGNS.items()
        if name in seen and (added := _points(sign, deed, is_grave=not GRAVE.isdisjoint(seen)))
    }
    score = points + sum(noticed.values())
    if deed == "reads":  # what was read and done before makes no read worse
        alone = points + sum(sign.reading for name, sign in SIGNS.items() if name in seen)
        score = max(alone, min(score, SURE - 1))
    else:
        score = max(score, LEAST_OF_DEED)
    if question.tool.is_read_only and deed == "reads" and not question.tool.is_destructive:
        score -= READ_ONLY_POINTS
    reasons = [reason, *noticed]
    if "partly_read" in seen:
        score, reasons = max(score, PARTLY_READ_SCORE), [*reasons, PARTLY_READ]
    if score > SURE:
        score = min(100, SURE + (score - SURE) * 2 // 5)
    return GeneralScore(score=max(0, score), classification=classification, reasons=tuple(reasons))
