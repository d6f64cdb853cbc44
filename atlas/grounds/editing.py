"""An edit of a person begins another round of its case, which the policy judged with the new arguments."""

from datetime import timedelta

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.edits import add_edit
from atlas.cases.judgements import record_assessment
from atlas.cases.reviews import request_review
from atlas.cases.rounds import next_round
from atlas.grounds.both_calls import of_both_calls
from atlas.grounds.reopening import renewed, withdrawn_approvals
from atlas.models import Assessment, Case, Edit


def begin_edited_round(
    connection: Connection, case: Case, ruled: Assessment, timeout: timedelta, *, edit: Edit, paths: list[str]
) -> Case:
    """The case with its changed arguments, before a person, with no approval so far.

    It asks for what the policy asks for both calls: the agent's, and the changed one.
    """
    reason = f"{edit.edited_by} changed the arguments: {', '.join(paths) or 'as the agent had them'}."
    judged = renewed(case, of_both_calls(case.assessment, ruled), reason=reason)
    detail = {
        "round": edit.round_number,
        "paths": paths,
        "proposed_sha256": case.call.arguments_sha256,
        "before_sha256": case.call_in_force.arguments_sha256,
        "arguments_sha256": edit.arguments_sha256,
        "withdrawn_approvals": withdrawn_approvals(connection, case),
    }
    action = ledger.Action.EDITED
    ledger.append(connection, case.case_id, action, actor=edit.edited_by, detail=detail, at=edit.edited_at)
    case = next_round(case, definition_sha256=case.definition_sha256)
    case = add_edit(connection, case, edit)
    case = record_assessment(connection, case, judged)
    return request_review(connection, case, timeout, reason=reason)
