"""Undo: where a rule says so, an approved call begins later, and the approval can be taken back until then.

What is taken back begins another round, in which nothing is decided.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.store import read_approvals
from atlas.errors import NotPermitted, TakeBackRefused
from atlas.grounds.reopening import reopen, send_back
from atlas.instants import instant_text, now
from atlas.models import Case, Status, Verdict, as_seen
from atlas.people.votes import Vote

MOST_TAKEN_BACK = 10  # on one case: each time it waits again, and all are told


def begins_after(case: Case, approved_at: datetime) -> datetime | None:
    """Before when a call that a person approves does not begin; None: it begins at once."""
    ruling = case.assessment.ruling if case.assessment else None
    seconds = ruling.review.undo_seconds if ruling else 0
    return approved_at + timedelta(seconds=seconds) if seconds else None


def is_approved_not_begun(case: Case) -> bool:
    """Whether a person approved the call, and it has not begun: till then any reviewer can reject it."""
    is_approved = case.decision is not None and case.decision.decision is Verdict.APPROVED
    return is_approved and case.status is Status.AUTHORIZED


def can_be_taken_back(case: Case) -> bool:
    """Whether such a call has time to begin, by a rule, so that those who approved it can think again."""
    return is_approved_not_begun(case) and case.begins_at is not None


def approvers_of(connection: Connection, case: Case) -> tuple[str, ...]:
    """Who gave the approvals that are in force, and for whom."""
    given = [(one.reviewer, one.on_behalf_of) for one in read_approvals(connection, case)]
    if case.decision is not None:
        given.append((case.decision.reviewer, case.decision.on_behalf_of))
    return tuple(dict.fromkeys(name for both in given for name in both if name is not None))


def is_taken_back(connection: Connection, case: Case, vote: Vote) -> bool:
    """Whether this person has taken the approval of the round before back, and it waits since."""
    if case.status is not Status.PENDING_REVIEW or case.round_number == 1:
        return False
    said = (case.round_number - 1, vote.reviewer)
    return any((entry["detail"].get("round"), entry["actor"]) == said for entry in _taken(connection, case))


def check_may_take_back(connection: Connection, case: Case, vote: Vote) -> None:
    """Raise TakeBackRefused where there is nothing to take back any more, NotPermitted for another person."""
    if not can_be_taken_back(case):
        raise TakeBackRefused(case_id=case.case_id, reason=_why_not(case))
    names = approvers_of(connection, case)
    if as_seen(vote.reviewer) not in {as_seen(name) for name in names}:
        own = f"Only who approved case {case.case_id} can take the approval back: {', '.join(names)}."
        raise NotPermitted(reason=f"{own} Reject the call to stop it.")
    if len(_taken(connection, case)) >= MOST_TAKEN_BACK:
        said = f"It was taken back {MOST_TAKEN_BACK} times, which is the limit. Reject the call to stop it."
        raise TakeBackRefused(case_id=case.case_id, reason=said)


def _taken(connection: Connection, case: Case) -> list[dict[str, Any]]:
    """The entries of the ledger that say that an approval of a case was taken back."""
    entries = ledger.entries_of(connection, case.case_id)
    return [entry for entry in entries if entry["action"] == ledger.Action.TAKEN_BACK.value]


def _why_not(case: Case) -> str:
    if case.status.may_have_run or case.status is Status.EXECUTING:
        return "The call has begun."
    if case.status is not Status.AUTHORIZED:
        return f"It is {case.status.value}, and no approval is in force."
    if case.decision is None:
        return "The score approved it, and no person."
    return "No rule of the policy gives time for that (`undo`)."


def take_back(connection: Connection, case: Case, vote: Vote, timeout: timedelta) -> Case:
    """Put the case before people again, in a round in which nothing is decided."""
    reason = _note(connection, case, vote)
    assert case.assessment is not None  # noqa: S101  (its ruling gave the time)
    return send_back(connection, case, case.assessment, timeout, reason=reason)


def take_back_to_reject(connection: Connection, case: Case, vote: Vote) -> Case:
    """Begin the round in which the call is rejected next: by any reviewer, in the same transaction."""
    reason = _note(connection, case, vote)
    assert case.assessment is not None  # noqa: S101
    return reopen(connection, case, case.assessment, reason=reason)


def _note(connection: Connection, case: Case, vote: Vote) -> str:
    """Write into the ledger who takes an approval back; returns that in a sentence."""
    detail = {
        "round": case.round_number,
        "approved_by": list(approvers_of(connection, case)),
        "begins_at": instant_text(case.begins_at) if case.begins_at else None,
        "reason": vote.reason,
        **({"way": vote.way} if vote.way else {}),
    }
    ledger.append(connection, case.case_id, ledger.Action.TAKEN_BACK, actor=vote.reviewer, detail=detail)
    return f"{vote.reviewer} took the approval back before the call began."


def seconds_to_begin(case: Case) -> float:
    """How long the begin of an approved call is still put off; 0: it may begin."""
    if case.status is not Status.AUTHORIZED or case.begins_at is None:
        return 0.0
    return max(0.0, (case.begins_at - now()).total_seconds())
