"""What a rule asks of a person's attention before an approval counts: a reason, time, a first choice.

The same request once more, under the same idempotency key, is no second look.
"""

from datetime import datetime

from sqlalchemy.engine import Connection

from atlas.attention.looks import FIRST_CHOICE, TOO_FAST, note_said, opened_at, said_before
from atlas.attention.reasons import check_reason
from atlas.errors import AskedAgain, AtlasError
from atlas.grounds.seen import digest_of_seen
from atlas.instants import now
from atlas.models import Case
from atlas.people.votes import Vote


def look_again(connection: Connection, case: Case, vote: Vote) -> AtlasError | None:
    """What to raise after this was written, where the person is asked once more; None: the vote counts.

    Raises RuleRefuses where a reason is missing; not before the score is shown, which the rule would tell.
    """
    if (again := _after_first_choice(connection, case, vote)) is not None:
        return again
    check_reason(connection, case, vote)
    return _after_a_look(connection, case, vote)


def _after_first_choice(connection: Connection, case: Case, vote: Vote) -> AtlasError | None:
    """Ask once more with the score, which the person has to have seen the second time."""
    judged = case.assessment
    if judged is None or judged.ruling is None or not judged.ruling.review.hides_score:
        return None
    shown = f"{judged.risk_score} of 100, {judged.classification}. {judged.rationale}"
    before = said_before(connection, case, vote.reviewer, FIRST_CHOICE)
    if before is None:
        note_said(connection, case, vote, FIRST_CHOICE, rule="hide_score")
        return AskedAgain(reason=f"Your first choice is on record. The score is {shown}")
    is_same_request = vote.idempotency_key is not None and vote.idempotency_key == before.idempotency_key
    if is_same_request or vote.seen_sha256 != digest_of_seen(case):
        confirm = f"The score is {shown} To confirm your choice, look at it, and"
        sees = "say seen_sha256 as GET /cases/{ref} names it now, with the score."
        at_desk = {"reason": f"{confirm} approve the call as the page shows it now."}
        return AskedAgain(reason=f"{confirm} {sees}", at_desk=at_desk)
    return None


def _after_a_look(connection: Connection, case: Case, vote: Vote) -> AtlasError | None:
    """Ask once more where less time has passed than the rule asks for, since the person opened the call."""
    ruling = case.assessment.ruling if case.assessment else None
    least = ruling.review.min_seconds if ruling else 0
    if not least:
        return None
    opened = opened_at(connection, case, vote.reviewer)
    before = said_before(connection, case, vote.reviewer, TOO_FAST)
    since = min((at for at in (opened, before.at if before else None) if at is not None), default=None)
    is_same_request = before is not None and vote.idempotency_key is not None
    is_same_request = is_same_request and vote.idempotency_key == (before and before.idempotency_key)
    passed = 0 if since is None else int((now() - since).total_seconds())
    if passed >= least and not is_same_request:
        return None
    if before is None:
        note_said(connection, case, vote, TOO_FAST, rule="min_seconds")
    wait = f"An approval counts when {least} seconds have passed; look at the call until then."
    return AskedAgain(reason=f"{_since_opened(case, opened)}. {wait}")


def _since_opened(case: Case, opened: datetime | None) -> str:
    """How long the person has seen the call as it is now, which is not how long they know it."""
    is_first = case.round_number == 1
    if opened is None:
        return f"You have not opened this call{'' if is_first else ' since it was judged again'}"
    passed = int((now() - opened).total_seconds())
    if is_first:
        return f"You opened this call {passed} seconds ago"
    return f"This call was judged again, and you have seen it as it is now for {passed} seconds"
