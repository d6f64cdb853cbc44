"""The rounds of a case: when tool or policy have changed it is judged again, and only the newest counts."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import cases
from atlas.errors import CallChanged
from atlas.models import Case


def of_this_round(table: sa.FromClause) -> sa.ColumnElement[bool]:
    """The condition that a row of the table is about the newest round of its case."""
    return sa.and_(table.c.case_id == cases.c.case_id, table.c.round_number == cases.c.round_number)


def round_of(case: Case) -> dict[str, Any]:
    """The key of what is judged or decided of a case in its newest round."""
    return {"case_id": case.case_id, "round_number": case.round_number}


def adopt_definition(connection: Connection, case: Case, sha256: str) -> Case:
    """Note the definition of a case's tool, where none was recorded when the case was admitted."""
    change = cases.update().where(cases.c.case_id == case.case_id, cases.c.definition_sha256.is_(None))
    connection.execute(change.values(definition_sha256=sha256))
    return case.model_copy(update={"definition_sha256": sha256})


def next_round(case: Case, *, definition_sha256: str | None) -> Case:
    """The case to judge again, which the next transition writes: nothing is judged or decided in it."""
    fresh = dict.fromkeys(("inquiry", "assessment", "decision", "plan", "expires_at", "begins_at"))
    number = {"round_number": case.round_number + 1, "definition_sha256": definition_sha256}
    return case.model_copy(update=fresh | number)


def other_round_error(case: Case, approved: int) -> CallChanged:
    """What to raise for an approval of another round: says what has changed, and how to approve it now."""
    reason = case.assessment.reopened_because if case.assessment else None
    if reason is None or approved > case.round_number:
        reason = f"It is in round {case.round_number}, not {approved}."
    then = f'Say "round": {case.round_number} to approve it as it is now.'
    at_desk = {"then": "Look at it as the page shows it now, and decide on that."}
    return CallChanged(case_id=case.case_id, reason=reason, then=then, at_desk=at_desk)
