"""The line of a list about the arguments of a call, by which alike calls differ; it says what is left out."""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.edits import ARGUMENTS_IN_FORCE, EDIT_IN_FORCE
from atlas.cases.tables import cases
from atlas.reviews.tables import edits

READ = 4_000  # characters; of longer arguments the beginning is shown as it is stored
LONGEST = 160  # characters of a line
LONGEST_PART = 40  # of a name or a value, where the line would be longer: a long one hides no other
TOO_LONG = "… (this is the beginning: they are too long for a list)"

# Numbers as they are: as values they are too wide for PostgreSQL's function.
_BEGINNING = sa.func.substr(ARGUMENTS_IN_FORCE, sa.literal_column("1"), sa.literal_column(str(READ + 1)))


def glimpses_of(connection: Connection, case_ids: Sequence[str]) -> dict[str, str]:
    """The line of each of some calls."""
    query = sa.select(cases.c.case_id, _BEGINNING).select_from(cases.outerjoin(edits, EDIT_IN_FORCE))
    rows = connection.execute(query.where(cases.c.case_id.in_(case_ids)))
    return {case_id: glimpse(text) for case_id, text in rows}


def glimpse(text: str) -> str:
    """`days: 30, reason: illness` for arguments as JSON; a cut part ends with …, and the rest is counted."""
    if len(text) > READ:
        return f"{text[:LONGEST]}{TOO_LONG}"
    pairs = [(name, _value(value)) for name, value in json.loads(text).items()]
    line = ", ".join(f"{name}: {value}" for name, value in pairs)
    return line if len(line) <= LONGEST else _shortened(pairs)


def _shortened(pairs: Sequence[tuple[str, str]]) -> str:
    shown: list[str] = []
    for name, value in pairs:
        part = f"{_cut(name)}: {_cut(value)}"
        if len(", ".join((*shown, part))) > LONGEST:
            break
        shown.append(part)
    left = len(pairs) - len(shown)
    more = [f"and {left} more argument{'' if left == 1 else 's'}"] if left else []
    return ", ".join((*shown, *more))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_PART else f"{text[:LONGEST_PART]}…"


def _value(value: object) -> str:
    """A text as it is, but for one that looks like two arguments."""
    return value if isinstance(value, str) and "," not in value else json.dumps(value, ensure_ascii=False)
