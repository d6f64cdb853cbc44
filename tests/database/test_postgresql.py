"""PostgreSQL as the store: what was acknowledged is there, also after the server crashed in the middle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from atlas import ledger
from atlas.cases.tables import cases
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.store import PostgresDatabase
from atlas.database.statements import one_moment
from atlas.errors import DatabaseUnusable
from atlas.stop.covering import stops_in_force
from tests.support.postgres import PostgresServer, postgres_server


@asynccontextmanager
async def opened(url: str, directory: Path) -> AsyncIterator[PostgresDatabase]:
    """A store on it."""
    database = PostgresDatabase(Address(url), directory)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def comment(connection: sa.Connection, number: int) -> None:
    """An entry of the ledger."""
    ledger.append(connection, "evt_1", ledger.Action.COMMENTED, actor="anna", detail={"number": number})


async def test_two_gateways_write_one_chain(url: str, tmp_path: Path) -> None:
    """Each sees what the other wrote, and no number is given twice."""
    async with opened(url, tmp_path / "a") as first, opened(url, tmp_path / "b") as second:
        both = [(first, second)[number % 2].write(partial(comment, number=number)) for number in range(200)]
        await asyncio.gather(*both)
        entries = await second.read(lambda connection: list(ledger.entries_of(connection, "evt_1")))
    assert ledger.verify([{"case_id": "evt_1"} | entry for entry in entries]) == 200
    assert {entry["detail"]["number"] for entry in entries} == set(range(200))


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_two_gateways_write_one_chain_whatever_isolation_the_server_has_as_its_default(
    url: str, tmp_path: Path, isolation: str
) -> None:
    """Right: a change sees what was written while it waited. Wrong: it reads what stood there before."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        default = f"ALTER DATABASE {name} SET default_transaction_isolation TO '{isolation}'"
        connection.execute(default.encode())
    await test_two_gateways_write_one_chain(url, tmp_path)


async def test_a_change_that_fails_leaves_nothing_and_the_others_of_its_batch_stand(
    url: str, tmp_path: Path
) -> None:
    """The first of a batch, one in the middle, and the last."""

    def fail(connection: sa.Connection) -> None:
        comment(connection, 1000)
        raise LookupError("no")

    async with opened(url, tmp_path) as database:
        works = [fail, *[partial(comment, number=number) for number in range(5)], fail]
        results = await asyncio.gather(*map(database.write, works), return_exceptions=True)
        entries = await database.read(lambda connection: list(ledger.entries_of(connection, "evt_1")))
    assert [type(result) for result in results] == [LookupError, *[type(None)] * 5, LookupError]
    assert [entry["detail"]["number"] for entry in entries] == [0, 1, 2, 3, 4]


async def test_a_server_that_crashes_and_comes_back_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """The store goes on by itself, and no change is kept twice."""
    with postgres_server() as server:
        async with opened(server.new_database("crash"), tmp_path / "data") as database:
            acknowledged = []
            for number in range(30):
                if number % 10 == 5:
                    async with server.away():
                        pass
                await database.write(partial(comment, number=number))
                acknowledged.append(number)
            entries = await database.read(lambda connection: list(ledger.entries_of(connection, "evt_1")))
    assert [entry["detail"]["number"] for entry in entries] == acknowledged


async def test_a_connection_that_breaks_in_the_middle_of_a_change_is_made_again(
    url: str, tmp_path: Path
) -> None:
    """The change fails, and the one after it is kept."""

    def break_off(connection: sa.Connection) -> None:
        comment(connection, 1000)
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    async with opened(url, tmp_path) as database:
        with pytest.raises(sa.exc.OperationalError):
            await database.write(break_off)
        await database.write(partial(comment, number=1))
        entries = await database.read(lambda connection: list(ledger.entries_of(connection, "evt_1")))
    assert [entry["detail"]["number"] for entry in entries] == [1]


async def test_a_server_that_may_forget_a_commit_is_refused(server: PostgresServer, tmp_path: Path) -> None:
    """The sentence names the setting."""
    url = server.new_database("forgetful") + "?options=-c%20synchronous_commit%3Doff"
    with pytest.raises(DatabaseUnusable, match="its setting synchronous_commit is `off`: `on` is needed"):
        async with opened(url, tmp_path):
            pass


async def test_what_a_reader_rolls_back_takes_no_prepared_statement_away(url: str, tmp_path: Path) -> None:
    """Statements of SQLAlchemy and prepared ones on one connection, with the moments of readers."""

    def read(connection: sa.Connection) -> int:
        connection.execute(sa.select(sa.func.count()).select_from(cases)).scalar()
        return len(stops_in_force(connection)) + ledger.newest(connection)

    def read_at_one_moment(connection: sa.Connection) -> int:
        with one_moment(connection):
            return read(connection)

    async with opened(url, tmp_path) as database:
        for work in [*(read,) * 20, *(read_at_one_moment, read) * 3]:
            assert await asyncio.gather(database.read(work), database.read(work)) == [0, 0]


async def test_a_database_of_another_encoding_is_refused_with_a_sentence(
    server: PostgresServer, tmp_path: Path
) -> None:
    """SQL_ASCII says nothing about what its bytes mean."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(DatabaseUnusable, match="server_encoding is `SQL_ASCII`: `UTF8` is needed"):
        async with opened(server.url("ascii"), tmp_path):
            pass
