"""The rights that docs/how-to/postgresql.md gives: enough for a gateway, too few to change the ledger."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from store import open_case

from atlas import ledger
from atlas.cases.store import CaseStore
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.store import PostgresDatabase
from atlas.welfare import WelfareOffice
from tests.support.postgres import PostgresServer, postgres_server

PAGE = Path(__file__).parents[2] / "docs/how-to/postgresql.md"
MAKE, GIVE = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for the module, whose superuser is not the one of the page."""
    with postgres_server() as running:
        with psycopg.connect(running.url(), autocommit=True) as connection:
            for statement in MAKE.replace("atlas", "owner").strip().split(";\n"):
                connection.execute(statement.removesuffix(";"))
        yield running


async def test_a_gateway_works_as_a_user_that_cannot_change_what_is_recorded(
    server: PostgresServer, tmp_path: Path
) -> None:
    """The owner makes the tables; the gateway opens cases, writes the ledger, and can take nothing back."""
    owner = server.url("owner").replace("atlas@", "owner@")
    beside(Location(directory=tmp_path, url=owner)).bring_up_to_date()
    with psycopg.connect(server.url("owner"), autocommit=True) as connection:
        connection.execute(
            GIVE.replace("DATABASE atlas", "DATABASE owner").replace("ROLE atlas", "ROLE owner")
        )
    url = server.url("owner").replace("atlas@", "gateway@")
    database = PostgresDatabase(Address(url), tmp_path)
    await database.open()
    try:
        await WelfareOffice(database).seed()
        case = await open_case(CaseStore(database))
        entries = await database.read(lambda connection: list(ledger.entries_of(connection, case.case_id)))
        with psycopg.connect(server.url()) as connection:
            counted = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'atlas-gateway'"
            ).fetchone()
    finally:
        await database.close()
    assert len(entries) == 1
    assert counted is not None and 1 <= counted[0] <= 5
    with psycopg.connect(url, autocommit=True) as connection:
        for forbidden in (
            "UPDATE ledger SET actor = 'mallory'",
            "DELETE FROM decisions",
            "DROP TRIGGER ledger_no_update ON ledger",
            "ALTER TABLE ledger DISABLE TRIGGER ALL",
            "TRUNCATE ledger",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)
