"""What a list says of how its cases ended, beside their lines: reasons, and errors of tools."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.lists.listing import Line
from atlas.cases.rounds import of_this_round
from atlas.cases.tables import cases, decisions, outcomes
from atlas.database.database import Database
from atlas.database.dialects import json_is_true


@dataclass(frozen=True)
class Remark:
    """What was written down at the end of a case."""

    reason: str | None = None  # of the person who decided
    detail: str | None = None  # of an ending without an answer of the tool
    is_tool_error: bool = False


# What is no JSON for the store, such as a number that is none, counts as an answer without an error.
_IS_ERROR = json_is_true(outcomes.c.result, "isError")
_REMARKS = sa.select(cases.c.case_id, decisions.c.reason, outcomes.c.detail, _IS_ERROR).select_from(
    cases.outerjoin(decisions, of_this_round(decisions)).outerjoin(
        outcomes, outcomes.c.case_id == cases.c.case_id
    )
)


async def with_remarks(database: Database, lines: Sequence[Line]) -> list[tuple[Line, Remark]]:
    """Each line with its remark."""
    if not lines:
        return []
    query = _REMARKS.where(cases.c.case_id.in_([line.case_id for line in lines]))

    def read(connection: Connection) -> dict[str, Remark]:
        rows = connection.execute(query)
        return {case_id: Remark(reason, detail, bool(error)) for case_id, reason, detail, error in rows}

    found = await database.look(read)
    return [(line, found.get(line.case_id, Remark())) for line in lines]
