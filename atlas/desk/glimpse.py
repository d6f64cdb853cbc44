"""What a list shows of a call's arguments: their beginning, by which alike calls are told apart."""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.edits import ARGUMENTS_IN_FORCE, EDIT_IN_FORCE
from atlas.cases.tables import cases
from atlas.reviews.tables import edits

READ = 4_000  # characters; of longer arguments the beginning is shown as it is stored
LONGEST = 160  # characters of a line

# Numbers as they are: as values they are too wide for PostgreSQL's function.
_BEGINNING = sa.func.substr(ARGUMENTS_IN_FORCE, sa.literal_column("1"), sa.literal_column(str(READ + 1)))


def glimpses_of(connection: Connection, case_ids: Sequence[str]) -> dict[str, str]:
    """The line of each of some calls."""
    query = sa.select(cases.c.case_id, _BEGINNING).select_from(cases.outerjoin(edits, EDIT_IN_FORCE))
    rows = connection.execute(query.where(cases.c.case_id.in_(case_ids)))
    return {case_id: glimpse(text) for case_id, text in rows}


def glimpse(text: str) -> str:
    """`days: 30, reason: illness` for arguments as JSON; it ends with … where more follows."""
    if len(text) > READ:
        return f"{text[:LONGEST]}…"
    pairs = (f"{name}: {_value(value)}" for name, value in json.loads(text).items())
    line = ", ".join(pairs)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
