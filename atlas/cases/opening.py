"""The opening of a case, and the look for one of the same call: same agent, tool and arguments."""

import json
import secrets

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.definitions import Definition, keep_definition
from atlas.cases.rows import EVERYTHING, case_of, made_by_agents
from atlas.cases.store import transition
from atlas.cases.tables import UNFINISHED, cases
from atlas.database.dialects import without_order
from atlas.database.statements import Prepared
from atlas.instants import now
from atlas.models import Case, Status, ToolCall

_CALLED = ("principal", "tool_name", "arguments_sha256", "intent", "user_request", "session")
_OPENED = (
    *("case_id", "arguments", "continuation", "status", "opened_at", "definition_sha256", "waiting_before"),
    "held_by",
    *_CALLED,
)
_OPEN = Prepared(cases.insert().values({name: sa.bindparam(name) for name in _OPENED}))
_SAME_CALL = ("principal", "tool_name", "arguments_sha256")
_OF_CALL = EVERYTHING.where(*(cases.c[name] == sa.bindparam(name) for name in _SAME_CALL))
_SAME = Prepared(_OF_CALL.where(UNFINISHED))
_NEWEST = Prepared(_OF_CALL.order_by(cases.c.opened_at.desc()).limit(sa.literal_column("1")))
MOST_NAMED = 3  # of the calls that waited before
_WAITING = Prepared(
    sa.select(cases.c.case_id)
    .where(
        *(cases.c[name] == sa.bindparam(name) for name in ("principal", "tool_name")),
        UNFINISHED,
        # A literal: SQLite plans a statement at each run whose values could let it use a partial index.
        # Without order: else PostgreSQL goes through all that waits, for a tool of which nothing waits.
        without_order(cases.c.status) == sa.literal_column(f"'{Status.PENDING_REVIEW.value}'"),
    )
    # The order of the index: else PostgreSQL reads all cases, in the hope to meet some early.
    .order_by(cases.c.arguments_sha256)
    .limit(sa.literal_column(str(MOST_NAMED)))
)


def open_case(
    connection: Connection,
    call: ToolCall,
    definition: Definition | None = None,
    *,
    held_by: str | None = None,
) -> Case:
    """Open a case for a call of which the same transaction knows that no case is unfinished."""
    waiting = _waiting_now(connection, call)
    case = Case(
        case_id=f"evt_{secrets.token_hex(8)}",
        call=call,
        status=Status.QUEUED,
        opened_at=now(),
        definition_sha256=definition.sha256 if definition else None,
        waiting_before=waiting,
        told_before=made_by_agents(connection, waiting),
        held_by=held_by,
    )
    if definition is not None:
        keep_definition(connection, definition)
    opened = case.model_dump(include={"case_id", "opened_at", "definition_sha256", "held_by"})
    opened["status"] = case.status.value
    called = call.model_dump(include=set(_CALLED))
    said = {
        "arguments": json.dumps(call.arguments),
        "continuation": None if call.continuation is None else json.dumps(call.continuation),
        "waiting_before": json.dumps(case.waiting_before) if case.waiting_before else None,
    }
    _OPEN.execute(connection, called | opened | said)
    return case


def unfinished_case(connection: Connection, call: ToolCall) -> Case | None:
    """The case of the same call that has not ended, if there is one; a seeded one gives way."""
    row = _SAME.first(connection, call.model_dump(include=set(_SAME_CALL)))
    case = None if row is None else case_of(connection, row)
    if case is None or not case.is_seeded:
        return case
    _give_way(connection, case)
    return None


def is_unfinished(connection: Connection, call: ToolCall) -> bool:
    """Whether there is a case of the same call, seeded or not, that has not ended."""
    return _SAME.first(connection, call.model_dump(include=set(_SAME_CALL))) is not None


def _give_way(connection: Connection, case: Case) -> None:
    """End a seeded case, because an agent makes this very call now: it is never taken for the agent's."""
    detail = {"reason": "It was seeded, and an agent makes this very call now."}
    ledger.append(connection, case.case_id, ledger.Action.REVEALED, actor="gateway", detail=detail)
    transition(connection, case, Status.EXPIRED)


def _waiting_now(connection: Connection, call: ToolCall) -> tuple[str, ...]:
    """Calls of the same agent and tool that wait for a person; of many, some."""
    asked = call.model_dump(include={"principal", "tool_name"})
    return tuple(str(row[0]) for row in _WAITING.rows(connection, asked))


def newest_case(connection: Connection, call: ToolCall) -> Case | None:
    """The newest case of the same call, finished or not."""
    row = _NEWEST.first(connection, call.model_dump(include=set(_SAME_CALL)))
    return None if row is None else case_of(connection, row)
