"""Changes that wait together are committed together; each is whole or not there, and none overtakes."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from gateway_process import eventually
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas.database.sqlite import Database


@asynccontextmanager
async def numbers(directory: Path) -> AsyncIterator[Database]:
    """A database with a table of numbers."""
    database = Database(directory)
    await database.open()
    try:
        await database.write(
            lambda connection: connection.exec_driver_sql(
                "CREATE TABLE numbers (number INTEGER CHECK (number > 0))"
            )
        )
        yield database
    finally:
        await database.close()


def add(connection: Connection, number: int) -> int:
    """Put a number into the table."""
    connection.exec_driver_sql("INSERT INTO numbers VALUES (?)", (number,))
    return number


def fail_at_commit(connection: Connection) -> None:
    """Put a row into a table whose foreign key is only checked at the end, where it does not hold."""
    connection.exec_driver_sql("CREATE TABLE one (one INTEGER PRIMARY KEY)")
    connection.exec_driver_sql(
        "CREATE TABLE other (one INTEGER REFERENCES one (one) DEFERRABLE INITIALLY DEFERRED)"
    )
    connection.exec_driver_sql("INSERT INTO other VALUES (1)")


def on_disk(directory: Path) -> list[int]:
    """The numbers that another process finds."""
    with closing(sqlite3.connect(directory / "atlas.db")) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY rowid")]


async def test_changes_that_come_at_the_same_time_share_a_commit(tmp_path: Path) -> None:
    """Syncing the file takes longest: while one change holds the writer up, the others gather."""
    async with numbers(tmp_path) as database:
        begun, go_on = threading.Event(), threading.Event()

        def hold_up(connection: Connection) -> None:
            begun.set()
            assert go_on.wait(10)

        def others_are_there(connection: Connection) -> int:
            add(connection, 8)
            return len(on_disk(tmp_path))

        first = asyncio.create_task(database.write(hold_up))
        assert await asyncio.to_thread(begun.wait, 10)
        later = [
            asyncio.create_task(database.write(lambda connection, number=number: add(connection, number)))
            for number in range(1, 8)
        ]
        last = asyncio.create_task(database.write(others_are_there))
        await asyncio.wait(later, timeout=0.01)
        go_on.set()
        await first
        assert await last == 0, "nothing of the batch is on disk before the last of it has run"
        assert [await each for each in later] == on_disk(tmp_path)[:-1] == list(range(1, 8))


async def test_a_change_that_fails_takes_none_of_the_others_with_it(tmp_path: Path) -> None:
    """It is undone alone, and its caller alone is told."""
    async with numbers(tmp_path) as database:

        def add_and_fail(connection: Connection) -> None:
            add(connection, 2)
            add(connection, 0)

        works = (lambda c: add(c, 1), add_and_fail, lambda c: add(c, 3))
        told = await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)
        assert told[0] == 1 and told[2] == 3 and isinstance(told[1], SQLAlchemyError)
        assert on_disk(tmp_path) == [1, 3]


async def test_what_is_written_ahead_is_seen_at_once_and_is_on_disk_with_what_comes_later(
    tmp_path: Path,
) -> None:
    """Nothing overtakes it: neither a later change nor a reader."""
    async with numbers(tmp_path) as database:

        def count(connection: Connection) -> int:
            return int(connection.exec_driver_sql("SELECT count(*) FROM numbers").scalar() or 0)

        await database.write_ahead(lambda connection: add(connection, 1))
        assert await database.read(count) == 1 and on_disk(tmp_path) == [1]
        await database.write_ahead(lambda connection: add(connection, 2))
        assert await database.write(count) == 2
        assert on_disk(tmp_path) == [1, 2]


async def test_what_is_written_ahead_gets_to_the_disk_by_itself(tmp_path: Path) -> None:
    """Also if nothing else is ever written, and before the database is closed."""
    async with numbers(tmp_path) as database:
        await database.write_ahead(lambda connection: add(connection, 1))

        async def is_there() -> bool:
            return on_disk(tmp_path) == [1]

        await eventually(is_there)
        await database.write_ahead(lambda connection: add(connection, 2))
    assert on_disk(tmp_path) == [1, 2]


async def test_who_waits_for_the_disk_is_told_when_a_change_does_not_get_there(tmp_path: Path) -> None:
    """Although others have seen it already; and the next change is kept."""
    async with numbers(tmp_path) as database:
        change = await database.write_ahead(fail_at_commit)
        with pytest.raises(SQLAlchemyError):
            await change.on_disk()
        with pytest.raises(SQLAlchemyError):
            await change.on_disk()
        assert await database.write(lambda connection: add(connection, 1)) == 1
        assert on_disk(tmp_path) == [1]


async def test_a_change_is_carried_to_its_end_although_its_caller_is_gone(tmp_path: Path) -> None:
    """What was handed over is done, also by those who were cancelled."""
    async with numbers(tmp_path) as database:
        for write in (database.write, database.write_ahead):
            task = asyncio.create_task(write(lambda connection: add(connection, 1)))
            await asyncio.wait({task}, timeout=0)
            task.cancel()
            await asyncio.wait({task})
        await database.write(lambda connection: add(connection, 2))
        assert on_disk(tmp_path) == [1, 1, 2]


async def test_nothing_waits_for_a_database_that_is_closed(tmp_path: Path) -> None:
    """What comes too late is told so."""
    async with numbers(tmp_path) as database:
        pass
    for write in (database.write, database.write_ahead):
        with pytest.raises(RuntimeError, match="closed"):
            await write(lambda connection: add(connection, 1))


async def test_a_writer_survives_whatever_a_change_raises(tmp_path: Path) -> None:
    """Also what would end a thread."""

    def leave(connection: Connection) -> None:
        raise GeneratorExit

    async with numbers(tmp_path) as database:
        with pytest.raises(GeneratorExit):
            await database.write(leave)
        assert await database.write(lambda connection: add(connection, 1)) == 1
