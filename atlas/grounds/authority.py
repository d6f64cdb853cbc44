"""What has to be on record before a case may be executed, checked in the transaction that claims it."""

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.canonical import digest_of_call
from atlas.errors import ExecutionRefused
from atlas.models import Case, Edit, Status, Verdict
from atlas.reviews.separation import approved_earlier, different
from atlas.reviews.situation import Situation

ADMITTED = ("tool_name", "arguments_sha256")


def check_authority(case: Case) -> None:
    """Raise ExecutionRefused unless the case stands approved."""
    if case.status is not Status.AUTHORIZED:
        raise ExecutionRefused(case_id=case.case_id, reason="it is not authorized")


def check_grounds(case: Case) -> None:
    """Raise ExecutionRefused unless a person, a plan or the score approved the arguments that are stored."""
    if case.assessment is not None and case.assessment.is_denied:
        raise ExecutionRefused(case_id=case.case_id, reason="the policy denies it")
    if case.decision is not None:
        if case.decision.decision is not Verdict.APPROVED:
            raise ExecutionRefused(case_id=case.case_id, reason="a person rejected it")
        approved = case.decision.arguments_sha256
    elif case.assessment is not None and not case.assessment.needs_person:
        approved = case.assessment.arguments_sha256
    elif case.plan is not None:
        approved = case.plan.arguments_sha256
    else:
        raise ExecutionRefused(case_id=case.case_id, reason="no one approved it")
    call = case.call_in_force
    if not approved == call.arguments_sha256 == digest_of_call(call.arguments, call.continuation):
        raise ExecutionRefused(case_id=case.case_id, reason="its arguments are not those that were approved")


def check_approvals(connection: Connection, case: Case) -> None:
    """Raise ExecutionRefused unless as many different people approved as the policy asked for."""
    if case.decision is None:
        return
    situation = Situation(connection, case)
    if situation.rules.is_separate and approved_earlier(situation, case.decision):
        raise ExecutionRefused(case_id=case.case_id, reason="a person of an earlier round approved it again")
    if situation.needed == 1:
        return
    of_this_call = [
        one for one in situation.given if one.arguments_sha256 == case.call_in_force.arguments_sha256
    ]
    if different(situation, of_this_call) < situation.needed_of_each:
        raise ExecutionRefused(case_id=case.case_id, reason="it has too few approvals")


def check_admission(connection: Connection, case: Case) -> None:
    """Raise ExecutionRefused unless tool, agent and arguments are those the ledger says were admitted.

    Where a person changed the arguments, the ledger has to say that too, with both digests.
    """
    admitted = ledger.find(connection, case.case_id, ledger.Action.ADMITTED)
    stored = (case.call.principal, case.call.tool_name, case.call.arguments_sha256)
    if admitted is None or stored != (admitted[0], *(admitted[1].get(name) for name in ADMITTED)):
        raise ExecutionRefused(case_id=case.case_id, reason="it is not the call that was admitted")
    if case.edit is not None and not _is_recorded(connection, case, case.edit):
        raise ExecutionRefused(case_id=case.case_id, reason="no one is on record who changed its arguments")


def _is_recorded(connection: Connection, case: Case, edit: Edit) -> bool:
    said = {
        "round": edit.round_number,
        "proposed_sha256": case.call.arguments_sha256,
        "arguments_sha256": edit.arguments_sha256,
    }
    return any(
        entry["action"] == ledger.Action.EDITED.value
        and entry["actor"] == edit.edited_by
        and said.items() <= entry["detail"].items()
        for entry in ledger.entries_of(connection, case.case_id)
    )
