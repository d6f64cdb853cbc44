"""The SQLite file and what its errors say."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas.cases import cases
from atlas.database import Database


@pytest.mark.parametrize("act", ["write", "read"])
async def test_an_error_does_not_repeat_the_values_of_a_statement(tmp_path: Path, act: str) -> None:
    """Errors are logged, and those of a step go to Inngest: arguments of a call must not be in them."""
    database = Database(tmp_path)
    await database.open()

    def fail(connection: Connection) -> None:
        connection.execute(
            sa.select(cases).where(sa.text("no_such_column = :value")), {"value": "a diagnosis"}
        )

    try:
        with pytest.raises(SQLAlchemyError) as caught:
            await getattr(database, act)(fail)
    finally:
        await database.close()
    assert "no_such_column" in str(caught.value) and "a diagnosis" not in str(caught.value)
