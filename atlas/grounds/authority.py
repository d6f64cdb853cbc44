"""What has to be on record before a case may be executed, checked in the transaction that claims it."""

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.canonical import digest_of_call
from atlas.errors import ExecutionRefused
from atlas.models import Case, Status, Verdict
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
    if (
        not approved
        == case.call.arguments_sha256
        == digest_of_call(case.call.arguments, case.call.continuation)
    ):
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
    of_this_call = [one for one in situation.given if one.arguments_sha256 == case.call.arguments_sha256]
    if different(situation, of_this_call) < situation.needed_of_each:
        raise ExecutionRefused(case_id=case.case_id, reason="it has too few approvals")


def check_admission(connection: Connection, case: Case) -> None:
    """Raise ExecutionRefused unless tool, agent and arguments are those the ledger says were admitted."""
    admitted = ledger.find(connection, case.case_id, ledger.Action.ADMITTED)
    stored = (case.call.principal, case.call.tool_name, case.call.arguments_sha256)
    if admitted is None or stored != (admitted[0], *(admitted[1].get(name) for name in ADMITTED)):
        raise ExecutionRefused(case_id=case.case_id, reason="it is not the call that was admitted")
