"""What was judged of a case, and which model was asked, each with its entry in the ledger."""

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.store import add_assessment, add_inquiry
from atlas.models import Assessment, Case, Inquiry


def record_assessment(connection: Connection, case: Case, assessment: Assessment) -> Case:
    """Write the one assessment of a case, and its ledger entry."""
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.ASSESSED,
        actor=assessment.assessor,
        detail=assessment.model_dump(mode="json", exclude={"assessed_at"}),
        at=assessment.assessed_at,
    )
    return add_assessment(connection, case, assessment)


def record_inquiry(connection: Connection, case: Case, inquiry: Inquiry) -> Case:
    """Write that a model elsewhere was asked about a case, and its ledger entry."""
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.ASKED,
        actor=inquiry.assessor,
        detail={"reference": inquiry.reference},
        at=inquiry.asked_at,
    )
    return add_inquiry(connection, case, inquiry)
