"""What came before a call: what its agent did, and what people decided on the same tool and subject."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import cases, decisions
from atlas.database.dialects import json_number, json_value
from atlas.models import SEEDED, Case, Status, Verdict

MOST = 8  # earlier cases of a kind that are shown
LOOKED_AT = 200  # decided cases of the tool that are compared, the newest first
LONGEST_SUBJECT = 200  # characters of a value that can name what a call is about

# The last word of an argument that names what the call is about.
_NAMING = frozenset(
    (
        *("id", "ids", "ref", "reference", "key", "number", "no", "code", "iban", "account", "name"),
        *("path", "file", "filename", "folder", "url", "uri", "host", "repo", "repository", "branch"),
        *("table", "database", "bucket", "email", "address", "recipient", "to", "user", "username"),
        *("customer", "channel", "project", "beneficiary", "person"),
    )
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")


class Earlier(NamedTuple):
    """An earlier case, as a line of a list."""

    case_id: str
    tool_name: str
    principal: str
    status: Status
    opened_at: datetime
    decision: Verdict | None
    reviewer: str | None
    reason: str | None
    decided_at: datetime | None


_COLUMNS = (
    *(cases.c.case_id, cases.c.tool_name, cases.c.principal, cases.c.status, cases.c.opened_at),
    *(decisions.c.decision, decisions.c.reviewer, decisions.c.reason, decisions.c.decided_at),
)
# A seeded case is no evidence of an agent; before the decision it looks like the others here too.
_NOT_REVEALED = sa.or_(
    sa.func.coalesce(cases.c.claimed_by, "") != SEEDED, cases.c.status == Status.PENDING_REVIEW.value
)
_DECIDED = sa.and_(decisions.c.case_id == cases.c.case_id, decisions.c.round_number == cases.c.round_number)


def calls_of_agent(connection: Connection, case: Case) -> tuple[Earlier, ...]:
    """What the same agent asked for before, the newest first."""
    query = (
        sa.select(*_COLUMNS)
        .select_from(cases.outerjoin(decisions, _DECIDED))
        .where(cases.c.principal == case.call.principal, cases.c.opened_at < case.opened_at, _NOT_REVEALED)
        .order_by(cases.c.opened_at.desc())
        .limit(MOST)
    )
    return tuple(_earlier(connection, query))


def decided_alike(connection: Connection, case: Case, subject: dict[str, str | int]) -> tuple[Earlier, ...]:
    """What people decided before on the same tool and the same subject, the newest first."""
    newest = (
        sa.select(cases.c.case_id)
        .join(decisions, _DECIDED)
        .where(cases.c.tool_name == case.call.tool_name, cases.c.opened_at < case.opened_at)
        .order_by(cases.c.opened_at.desc())
        .limit(LOOKED_AT)
    )
    is_same = (_is_argument(name, value) for name, value in subject.items())
    query = (
        sa.select(*_COLUMNS)
        .select_from(cases.join(decisions, _DECIDED))
        .where(cases.c.case_id.in_(newest), *is_same, _NOT_REVEALED)
        .order_by(cases.c.opened_at.desc())
        .limit(MOST)
    )
    return tuple(_earlier(connection, query))


def _is_argument(name: str, value: str | int) -> sa.ColumnElement[bool]:
    found = json_number if isinstance(value, int) else json_value
    return found(cases.c.arguments, name) == value


def subject_of(arguments: dict[str, Any]) -> dict[str, str | int]:
    """The arguments whose names say that they name something: an id, a path, an address."""
    return {
        name: value
        for name, value in arguments.items()
        if isinstance(value, (str, int)) and not isinstance(value, bool) and _names_something(name, value)
    }


def _names_something(name: str, value: str | int) -> bool:
    words = _WORDS.findall(name)
    is_plain = re.fullmatch(r"[A-Za-z0-9_.-]+", name) is not None  # and can stand in a path of JSON
    return is_plain and bool(words) and words[-1].lower() in _NAMING and len(str(value)) <= LONGEST_SUBJECT


def _earlier(connection: Connection, query: sa.Select[Any]) -> Iterator[Earlier]:
    for row in connection.execute(query):
        verdict = Verdict(row.decision) if row.decision else None
        yield Earlier(**{**row._mapping, "status": Status(row.status), "decision": verdict})
