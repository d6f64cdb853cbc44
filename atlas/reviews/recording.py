"""What a person decides is written: an approval that counts, one of several, or a rejection.

All of it is in one transaction, after the rules were asked. What a rule refuses is rolled back and noted.
"""

from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.attention.seeded import reveal
from atlas.cases.store import (
    add_decision,
    read_case,
    transition,
)
from atlas.database.dialects import json_number, json_value
from atlas.errors import (
    AtlasError,
    CaseFinished,
    ReviewExpired,
    RuleRefuses,
    Stopped,
)
from atlas.grounds.decided import check_is_own, is_decided, is_own
from atlas.instants import now
from atlas.models import Case, Decision, Status, Verdict
from atlas.outbox import notices
from atlas.people.votes import Vote, note_key
from atlas.reviews.counting import is_last_approval, said
from atlas.reviews.passkey import keep_assertion
from atlas.reviews.permission import ask_again, check_may_approve
from atlas.reviews.undo import (
    begins_after,
    is_approved_not_begun,
    take_back_to_reject,
)
from atlas.stop.covering import stop_of
from atlas.stop.words import told

MOST_REFUSALS = 50  # of one person on a case, in the ledger

# A seeded case that is approved is refused: no tool may get it.
ENDING_OF_SEEDED = {Verdict.APPROVED: Status.DENIED, Verdict.REJECTED: Status.REJECTED}


def note_refusal(connection: Connection, *, case_id: str, vote: Vote, refusal: RuleRefuses) -> Case:
    """Keep that a rule did not let an approval count; what it would have done was rolled back.

    The same refusal of the same person in a round is one entry, and of a person there are few on a case:
    a program that tries again for ever does not fill the ledger.
    """
    case = read_case(connection, case_id)
    detail = {"rule": refusal.fields["rule"], "reason": refusal.fields["reason"], "round": vote.round_number}
    detail |= {"way": vote.way} if vote.way else {}
    noted = _refusals_of(connection, case_id, vote)
    if (refusal.fields["reason"], vote.round_number) not in noted and len(noted) < MOST_REFUSALS:
        ledger.append(connection, case_id, ledger.Action.RULE_REFUSED, actor=vote.reviewer, detail=detail)
    return case


def _refusals_of(connection: Connection, case_id: str, vote: Vote) -> list[tuple[str, int]]:
    """Why, and in which rounds, the rules refused approvals of a person."""
    entries = ledger.entries
    said = (json_value(entries.c.detail, "reason"), json_number(entries.c.detail, "round"))
    query = sa.select(*said).where(
        entries.c.case_id == case_id,
        entries.c.action == ledger.Action.RULE_REFUSED.value,
        entries.c.actor == vote.reviewer,
    )
    return [(reason, round_number) for reason, round_number in connection.execute(query)]


def reject(connection: Connection, *, case_id: str, vote: Vote) -> Case:
    """Any reviewer can stop the call, in any round, until it begins, and no policy prevents that.

    An approval that is in force is taken back by that. Which comes first, this or the claim that begins the
    call, is decided by the lock under which both are made.
    """
    case = read_case(connection, case_id)
    note_key(connection, case_id, vote)
    if is_approved_not_begun(case):
        return _decide_by_person(connection, take_back_to_reject(connection, case, vote), vote)
    if is_decided(case, vote):
        check_is_own(connection, case, vote)
        return case
    check_open(case)
    return _decide_by_person(connection, case, vote)


def record_approval(
    connection: Connection, case: Case, vote: Vote, owners: frozenset[str]
) -> Case | AtlasError:
    """The case with the approval, or what to raise once it is on disk that a person is asked again."""
    is_again = is_decided(case, vote)
    if is_again and is_own(connection, case, vote):
        return case  # also where it could not be said for the first time now
    vote = check_may_approve(connection, case, vote, owners)
    if is_again:
        check_is_own(connection, case, vote)
        return case
    check_open(case)
    if (again := ask_again(connection, case, vote)) is not None:
        return again
    keep_assertion(connection, case, vote)
    if not is_last_approval(connection, case, vote, owners):
        return case
    return _decide_by_person(connection, case, vote)


def check_open(case: Case) -> None:
    """Raise ReviewExpired or CaseFinished where nothing can be decided any more."""
    if case.status is Status.PENDING_REVIEW and is_overdue(case):
        raise ReviewExpired(case_id=case.case_id, expires_at=case.expires_at)
    if case.status.is_final or case.status is Status.EXECUTING:
        raise CaseFinished(case_id=case.case_id, status=case.status.value)


def check_not_stopped(connection: Connection, case: Case) -> None:
    """Raise Stopped where an approval would count, and a stop covers the call; approvals before it stay."""
    if case.decision is not None or not case.status.is_not_begun:
        return
    stop = stop_of(connection, case)
    if stop is not None:
        raise Stopped(case_id=case.case_id, said=told(stop, by=stop.stopped_by))


def _decide_by_person(connection: Connection, case: Case, vote: Vote) -> Case:
    decision = Decision(
        decision=vote.verdict,
        reviewer=vote.reviewer,
        reason=vote.reason,
        arguments_sha256=case.call_in_force.arguments_sha256,
        decided_at=now(),
        on_behalf_of=vote.on_behalf_of,
        way=vote.way,
    )
    case = add_decision(connection, case, decision)
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.APPROVED if vote.verdict is Verdict.APPROVED else ledger.Action.REJECTED,
        actor=vote.reviewer,
        detail=said(case, vote),
        at=decision.decided_at,
    )
    if case.is_seeded:
        return reveal(connection, case, to=ENDING_OF_SEEDED[vote.verdict])
    content = {"decision": vote.verdict.value, "on_behalf_of": vote.on_behalf_of}
    notices.put(connection, notices.Kind.DECIDED, case=case, by=vote.reviewer, content=content)
    to = Status.AUTHORIZED if vote.verdict is Verdict.APPROVED else Status.REJECTED
    # Approving what the score has approved already adds a decision, but no transition.
    if case.status is to:
        return case
    begins_at = begins_after(case, decision.decided_at) if to is Status.AUTHORIZED else None
    return transition(connection, case, to, begins_at=begins_at)


class Timed(Protocol):
    """A case, whole or as a row."""

    @property
    def expires_at(self) -> datetime | None:
        """Until when a person may decide."""

    @property
    def frozen_at(self) -> datetime | None:
        """Since when a stop holds that time."""


def is_overdue(case: Timed) -> bool:
    """Whether the time to decide is over; under a stop it does not run."""
    return case.frozen_at is None and case.expires_at is not None and now() >= case.expires_at
