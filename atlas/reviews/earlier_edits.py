"""The arguments of a call in each of its rounds: as the agent proposed them, or as a person changed them."""

import json
from typing import Any

from sqlalchemy.engine import Connection

from atlas.models import Case
from atlas.reviews.tables import edits


def arguments_in_round(connection: Connection, *, case: Case, round_number: int) -> dict[str, Any]:
    """What stood there in one round: the newest edit up to it, or what the agent proposed."""
    until_then = (edits.c.case_id == case.case_id, edits.c.round_number <= round_number)
    newest_first = edits.select().where(*until_then).order_by(edits.c.round_number.desc()).limit(1)
    row = connection.execute(newest_first).mappings().first()
    arguments: dict[str, Any] = case.call.arguments if row is None else json.loads(row["arguments"])
    return arguments
