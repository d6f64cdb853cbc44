"""One writer: a transaction that fails leaves nothing behind, and does not stand in the way of the next."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases import CaseStore, add_outcome, insert_case, read_case
from atlas.database import Database, now
from atlas.models import Case, Outcome, ToolCall

CALL = ToolCall(
    principal="agent", tool_name="tool", arguments={"secret": "s3cr3t"}, arguments_sha256="0" * 64
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An open database without cases."""
    database = Database(tmp_path)
    await database.open()
    yield database
    await database.close()


def open_case(connection: Connection) -> Case:
    return insert_case(connection, CALL)[0]


def open_case_and_fail_to_commit(connection: Connection) -> None:
    connection.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
    case = open_case(connection).model_copy(update={"case_id": "evt_of_no_case"})
    add_outcome(connection, case, Outcome(result=None, detail=None, finished_at=now()))


def open_the_same_case_twice(connection: Connection) -> None:
    case = open_case(connection)
    for _ in range(2):
        add_outcome(connection, case, Outcome(result=None, detail="s3cr3t", finished_at=now()))


@pytest.mark.parametrize("work", [open_case_and_fail_to_commit, open_the_same_case_twice])
async def test_after_a_transaction_that_failed_the_next_one_is_kept(work: object, database: Database) -> None:
    with pytest.raises(sa.exc.SQLAlchemyError) as failed:
        await database.write(work)
    assert "s3cr3t" not in str(failed.value)
    assert await CaseStore(database).select() == []
    case = await database.write(open_case)
    assert await CaseStore(database).read(case.case_id) == case


async def test_a_case_is_read_back_as_it_was_written(database: Database) -> None:
    def write_twice(connection: Connection) -> tuple[Case, bool]:
        insert_case(connection, CALL)
        return insert_case(connection, CALL)

    case, is_new = await database.write(write_twice)
    outcome = Outcome(result={"content": []}, detail=None, finished_at=now())
    with_outcome = await database.write(lambda connection: add_outcome(connection, case, outcome))
    assert not is_new
    assert await CaseStore(database).read(case.case_id) == with_outcome
    assert await database.read(lambda connection: read_case(connection, case.case_id)) == with_outcome
    assert await CaseStore(database).select() == [with_outcome]
