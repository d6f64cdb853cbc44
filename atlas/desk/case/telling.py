"""How the page of a case says where it stands, and what each entry of the ledger means."""

from typing import NamedTuple

from atlas import ledger
from atlas.desk.case.dossier import Dossier
from atlas.instants import now
from atlas.models import Case, Status
from atlas.reviews.undo import can_be_taken_back, is_approved_not_begun, seconds_to_begin

ACTIONS = {
    ledger.Action.ADMITTED: "The call came in and was recorded",
    ledger.Action.WITHDRAWN: "The agent took the call back",
    ledger.Action.ASKED: "A model was asked",
    ledger.Action.ASSESSED: "The call was judged",
    ledger.Action.AUTO_APPROVED: "The score approved the call",
    ledger.Action.DENIED: "The policy denied the call",
    ledger.Action.REVIEW_REQUESTED: "The call was put before a person",
    ledger.Action.REOPENED: "What was decided does not count any more: the call is judged again",
    ledger.Action.APPROVAL_COUNTED: "One of several approvals was given",
    ledger.Action.APPROVED: "A person approved the call",
    ledger.Action.REJECTED: "A person rejected the call",
    ledger.Action.EXPIRED: "The time to decide was over",
    ledger.Action.COMMENTED: "A person wrote a comment",
    ledger.Action.VIEWED: "A person opened the case",
    ledger.Action.REMINDED: "Those who may decide were reminded",
    ledger.Action.ESCALATED: "It waited too long and went to others too",
    ledger.Action.ASSIGNED: "A supervisor assigned the case",
    ledger.Action.QUESTION_ASKED: "A person asked the agent",
    ledger.Action.QUESTION_ANSWERED: "The agent answered",
    ledger.Action.EDITED: "A person changed the arguments",
    ledger.Action.PLAN_USED: "A plan that a person approved beforehand let it pass",
    ledger.Action.TAKEN_BACK: "A person took the approval back, before the call began",
    ledger.Action.RULE_REFUSED: "A rule did not let an approval count",
    ledger.Action.ASKED_AGAIN: "A rule asked a person once more",
    ledger.Action.SEEDED: "It was made to see whether people look",
    ledger.Action.REVEALED: "The person was told that it was made for that",
    ledger.Action.UNSUPPORTED_DECISION: "An event said that it was decided, and no decision was recorded",
    ledger.Action.EXECUTING: "The gateway began to call the tool",
    ledger.Action.EXECUTED: "The tool answered",
    ledger.Action.EXECUTION_REFUSED: "The call was not executed",
    ledger.Action.OUTCOME_UNKNOWN: "There was no answer; the tool may have acted",
    ledger.Action.FAILED: "The run failed; the tool was not called",
}
_WORDS = {action.value: words for action, words in ACTIONS.items()}


def action_in_words(action: str) -> str:
    """What an entry of the ledger says that happened."""
    return _WORDS.get(action, action)


class State(NamedTuple):
    """Where a case stands."""

    short: str
    said: str  # a sentence
    tone: str  # of the badge: good, bad, warn or nothing


def state_of(dossier: Dossier) -> State:
    """Where a case stands, with who decided and when."""
    case = dossier.case
    if case.status is Status.PENDING_REVIEW:
        return _waiting(dossier)
    if case.is_seeded:
        return State("seeded", "It was made to see whether people look. No tool was called.", "warn")
    if seconds_to_begin(case) and dossier.stop is None:
        said = "The tool is called when the time to take the approval back is over. Nothing was executed."
        return State("approved", said, "warn")
    if case.outcome is not None and case.outcome.asks_for_input:
        said = "The tool was called, and asks its agent for more before it goes on."
        return State("executed", said, "good")
    if case.outcome is not None and case.outcome.is_error:
        return State("executed, with an error", "The tool was called and answered with an error.", "warn")
    return _STATES[case.status]


def _waiting(dossier: Dossier) -> State:
    case = dossier.case
    if dossier.stop is not None or case.frozen_at is not None:
        by = f" by {dossier.stop.stopped_by}" if dossier.stop else ""
        why = f" Reason: {dossier.stop.reason}" if dossier.stop else ""
        return State(
            "frozen", f"It was stopped{by}. Its time stands still until a person lifts the stop.{why}", "warn"
        )
    if case.expires_at is not None and now() >= case.expires_at:
        return State("over", "The time to decide is over. Nothing was executed.", "")
    needed, given = needed_of(case), len(dossier.approvals)
    more = f" {given} of {needed} approvals are given." if needed > 1 else ""
    again = f" It was judged again: this is round {case.round_number}." if case.round_number > 1 else ""
    return State("waits", f"It waits for a person. Nothing was executed.{more}{again}", "warn")


def is_by_score(case: Case) -> bool:
    """Whether the score approved a case, and no person."""
    is_approved = case.status in (Status.AUTHORIZED, Status.EXECUTING, Status.EXECUTED)
    return case.decision is None and case.plan is None and is_approved


_STATES: dict[Status, State] = {
    Status.QUEUED: State("being judged", "It is being judged. Nothing was executed.", ""),
    Status.AUTHORIZED: State("approved", "The tool is called next.", "good"),
    Status.EXECUTING: State("runs", "The tool is being called.", "good"),
    Status.EXECUTED: State("executed", "The tool was called once and has answered.", "good"),
    Status.REJECTED: State("rejected", "The tool was not called.", "bad"),
    Status.DENIED: State("denied", "The policy forbids it. The tool was not called.", "bad"),
    Status.WITHDRAWN: State("withdrawn", "Its agent took it back. The tool was not called.", ""),
    Status.EXPIRED: State("expired", "No person decided in time. The tool was not called.", ""),
    Status.FAILED: State("failed", "The gateway could not call the tool. Nothing was done.", "bad"),
    Status.OUTCOME_UNKNOWN: State(
        "outcome unknown",
        "The tool was called, and there is no answer: it may have acted. A person has to find out.",
        "bad",
    ),
}


def needed_of(case: Case) -> int:
    """How many people have to approve."""
    return case.assessment.approvals if case.assessment else 1


def may_reject(dossier: Dossier) -> bool:
    """Whether the call can still be stopped by a decision."""
    case = dossier.case
    is_held = can_be_taken_back(case) or (is_approved_not_begun(case) and dossier.stop is not None)
    is_open = case.decision is None or is_held
    return case.status.is_not_begun and is_open and not _is_over(case)


def _is_over(case: Case) -> bool:
    is_over = case.expires_at is not None and now() >= case.expires_at
    return case.status is Status.PENDING_REVIEW and case.frozen_at is None and is_over
