"""Very many cases that wait for a person, in the files of a gateway that is stopped: copies of one of them.

The rows are written by the gateway's own functions, those of the engine by `waiting_runs`.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from kept import database_of
from sqlalchemy.engine import Connection
from store import insert_case
from waiting_runs import copy_run

from atlas.admit import note_admission
from atlas.canonical import digest_of_call
from atlas.cases.definitions import Definition
from atlas.cases.judgements import record_assessment
from atlas.cases.store import read_case
from atlas.decide import decide_by_score
from atlas.engine.schema import connect_store
from atlas.models import Case

DAYS = timedelta(days=3)


async def copy_waiting_case(
    data: Path, case_id: str, count: int, *, arguments: Callable[[int], dict[str, Any]]
) -> list[str]:
    """Copy a case so many times, each with arguments of its own; returns the references."""
    database = database_of(data)
    await database.open()
    try:
        made = await database.write(lambda connection: _copies(connection, case_id, count, arguments))
    finally:
        await database.close()
    with closing(connect_store(data / "engine.db")) as connection:
        copy_run(connection, (_event_data(case) for case in made), match="event_id")
    return [case.case_id for case in made]


def _copies(
    connection: Connection, case_id: str, count: int, arguments: Callable[[int], dict[str, Any]]
) -> list[Case]:
    original = read_case(connection, case_id)
    return [_copy(connection, original, arguments(number)) for number in range(count)]


def _copy(connection: Connection, original: Case, arguments: dict[str, Any]) -> Case:
    sha256 = digest_of_call(arguments, None)
    call = original.call.model_copy(update={"arguments": arguments, "arguments_sha256": sha256})
    assert original.definition_sha256 is not None
    assert original.assessment is not None
    definition = Definition(text="on record already", sha256=original.definition_sha256)
    case, is_new = insert_case(connection, call, definition)
    assert is_new
    note_admission(connection, case)
    assessment = original.assessment.model_copy(update={"arguments_sha256": sha256})
    case = record_assessment(connection, case, assessment)
    return decide_by_score(connection, case, timeout=DAYS)


def _event_data(case: Case) -> dict[str, Any]:
    return {"event_id": case.case_id, "arguments_sha256": case.call.arguments_sha256}
