"""The same call again: an ending that its agent never got is the answer, once, instead of a new case."""

from datetime import timedelta

from fastmcp.tools import ToolResult
from mcp.types import CallToolResult
from sqlalchemy.engine import Connection

from atlas.agents.answers import ABOUT_CASE, about, answer
from atlas.agents.results import as_it_came
from atlas.cases.opening import newest_case
from atlas.cases.store import mark_collected
from atlas.instants import now
from atlas.models import Case, ToolCall

LONGEST_KEPT = timedelta(days=7)  # what ended before is answered by get_outcome only


def take_stored(connection: Connection, call: ToolCall) -> Case | None:
    """The ended case of the same call whose ending its agent has not got; from now on it has."""
    case = newest_case(connection, call)
    if case is None or case.collected_at is not None:
        return None
    if case.finished_at is None or now() - case.finished_at > LONGEST_KEPT:
        return None
    return mark_collected(connection, case)


def stored_answer(case: Case) -> ToolResult:
    """The answer of a case that ended earlier, with a word on which case that was."""
    told = answer(case)
    result = told.to_mcp_result()
    if isinstance(result, CallToolResult):
        meta = {**(result.meta or {}), ABOUT_CASE: about(case)}
        return as_it_came(result.model_copy(update={"meta": meta}))
    return told
