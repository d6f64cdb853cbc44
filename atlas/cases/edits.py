"""The arguments of a case as a person changed them: kept beside those of the agent, which stay."""

import json

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import cases
from atlas.models import Case, Edit
from atlas.reviews.tables import edits

# The edit that is in force for a case, and the arguments that are: the agent's, where there is none.
EDIT_IN_FORCE = sa.and_(edits.c.case_id == cases.c.case_id, edits.c.round_number == cases.c.edited_round)
ARGUMENTS_IN_FORCE = sa.func.coalesce(edits.c.arguments, cases.c.arguments)


def add_edit(connection: Connection, case: Case, edit: Edit) -> Case:
    """Record that from the edit's round on a case has these arguments."""
    values = edit.model_dump() | {"case_id": case.case_id, "arguments": json.dumps(edit.arguments)}
    connection.execute(edits.insert().values(values))
    change = cases.update().where(cases.c.case_id == case.case_id)
    connection.execute(change.values(edited_round=edit.round_number))
    return case.model_copy(update={"edit": edit})
