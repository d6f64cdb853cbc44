"""What an agent did and read before, out of the case store: nothing is kept twice."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.assessors import Earlier
from atlas.cases.store import CaseStore
from atlas.cases.tables import assessments, cases, outcomes
from atlas.models import ToolCall
from atlas.origins.results import text_of_result

MOST_CALLS = 100  # of one agent, with which a call is compared

_BEFORE = (
    sa.select(
        cases.c.case_id,
        cases.c.tool_name,
        cases.c.arguments,
        cases.c.user_request,
        cases.c.session,
        outcomes.c.result,
        outcomes.c.finished_at,
        assessments.c.is_outside,
    )
    .select_from(
        cases.outerjoin(outcomes, outcomes.c.case_id == cases.c.case_id).outerjoin(
            assessments,
            sa.and_(
                assessments.c.case_id == cases.c.case_id, assessments.c.round_number == cases.c.round_number
            ),
        )
    )
    .where(cases.c.principal == sa.bindparam("principal"), cases.c.opened_at < sa.bindparam("before"))
    .order_by(cases.c.opened_at.desc(), cases.c.case_id.desc())
    .limit(MOST_CALLS)
)


class Memory:
    """Remembers for each agent what it did and read before."""

    def __init__(self, store: CaseStore) -> None:
        self._store = store

    async def earlier(self, call: ToolCall, *, before: datetime) -> tuple[Earlier, ...]:
        """The calls of the same agent that came before a moment, the oldest first."""

        def read(connection: Connection) -> list[Any]:
            said = {"principal": call.principal, "before": before}
            return list(connection.execute(_BEFORE, said))

        rows = await self._store.database.read(read)
        return tuple(_earlier(row, call, before) for row in reversed(rows))


def _earlier(row: Any, call: ToolCall, before: datetime) -> Earlier:
    is_read = row.result is not None and row.finished_at <= before
    text, is_partly_read = text_of_result(json.loads(row.result)) if is_read else ("", False)
    return Earlier(
        case_id=row.case_id,
        tool_name=row.tool_name,
        arguments=json.loads(row.arguments),
        result=text,
        is_partly_read=is_partly_read,
        is_outside=bool(row.is_outside),
        is_other_session=row.session != call.session,
        user_request=row.user_request,
    )
