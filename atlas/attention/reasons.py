"""Whether a reason was written for this call: some words, and not what the person wrote for the last ten."""

import re
import unicodedata

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import approvals, decisions
from atlas.errors import RuleRefuses
from atlas.models import Case, Verdict
from atlas.people.votes import Vote

RULE = "reason_from"
LEAST_WORDS = 3
LAST = 10  # reasons of a person that a new one is compared with
_WORD = re.compile(r"[^\W\d_]+")
# Writing without blanks between words: about two letters are a word.
_UNDIVIDED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


def check_reason(connection: Connection, case: Case, vote: Vote) -> None:
    """Raise RuleRefuses where a rule asks for a typed reason from this score on, and none was written."""
    judged = case.assessment
    limit = judged.ruling.review.reason_from if judged and judged.ruling else None
    if judged is None or limit is None or judged.risk_score < limit:
        return
    asks = f"The policy asks for a reason in your own words from score {limit} on."
    if words_in(vote.reason or "") < LEAST_WORDS:
        raise RuleRefuses(rule=RULE, reason=f"{asks} Write at least {LEAST_WORDS} words.")
    if bare(vote.reason or "") in {bare(text) for text in _last_reasons(connection, case, vote.reviewer)}:
        raise RuleRefuses(
            rule=RULE, reason=f"{asks} You wrote the same for one of your last {LAST} approvals."
        )


def words_in(text: str) -> int:
    """How many different words a text has."""
    words = {word.casefold() for word in _WORD.findall(text)}
    return sum(len(word) // 2 if _is_undivided(word) else 1 for word in words)


def bare(text: str) -> str:
    """A text by its letters alone: other numbers, marks and capitals make no other reason."""
    return "".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _is_undivided(word: str) -> bool:
    return unicodedata.name(word[0], "").startswith(_UNDIVIDED)


def _last_reasons(connection: Connection, case: Case, reviewer: str) -> list[str]:
    """What a person wrote for their last approvals of other cases."""
    found = [
        row
        for table in (approvals, decisions)
        for row in connection.execute(_of(table, case, reviewer)).all()
    ]
    return [reason for _, reason in sorted(found, reverse=True)[:LAST]]


def _of(table: sa.Table, case: Case, reviewer: str) -> "sa.Select[tuple[str, str]]":
    at = sa.type_coerce(table.c.decided_at, sa.String)
    mine = (table.c.reviewer == reviewer, table.c.case_id != case.case_id, table.c.reason.is_not(None))
    approved = (table.c.decision == Verdict.APPROVED.value,) if "decision" in table.c else ()
    return sa.select(at, table.c.reason).where(*mine, *approved).order_by(at.desc()).limit(LAST)
