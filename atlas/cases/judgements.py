"""What was judged of a case, and which model was asked, each with its entry in the ledger."""

from typing import Any

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
        detail=assessment.model_dump(mode="json", exclude={"assessed_at", "is_outside", "trace"})
        | _said_of_trace(assessment),
        at=assessment.assessed_at,
    )
    return add_assessment(connection, case, assessment)


def _said_of_trace(assessment: Assessment) -> dict[str, Any]:
    """Where arguments came from, by references alone: the ledger holds no values and no passages."""
    trace = assessment.trace
    outside = {
        origin.path: [found.case_id for found in origin.found if found.is_outside]
        for origin in (trace.origins if trace else ())
        if origin.is_outside
    }
    orders = [{"kind": order.kind, "case_id": order.case_id} for order in (trace.orders if trace else ())]
    said = {"is_outside": assessment.is_outside, "from_outside": outside, "orders": orders}
    return {name: value for name, value in said.items() if value}


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
