"""Changes that wait together are committed together; each is whole or not there, and none overtakes."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
from gateway_process import eventually
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas.database.sqlite.files import keep_commits
from atlas.database.sqlite.store import SqliteDatabase as Database
from atlas.database.sqlite.transactions import SqliteTransactions
from atlas.database.writer import Errors, Writer


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
    return numbers_in(directory / "atlas.db")


def numbers_in(path: Path) -> list[int]:
    """The numbers in a file, in the order in which they came."""
    with closing(sqlite3.connect(path)) as connection:
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


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_change_that_fails_takes_none_of_the_others_with_it(tmp_path: Path, place: int) -> None:
    """It is undone alone, and its caller alone is told; also if it is the first of a batch."""
    async with numbers(tmp_path) as database:

        def add_and_fail(connection: Connection) -> None:
            add(connection, 2)
            add(connection, 0)

        works: list[Callable[[Connection], int | None]] = [lambda c: add(c, 1), lambda c: add(c, 3)]
        works.insert(place, add_and_fail)
        told = await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)
        assert isinstance(told.pop(place), SQLAlchemyError) and told == [1, 3]
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


async def test_a_writer_survives_anything_that_a_change_raises(tmp_path: Path) -> None:
    """Also what would end a thread."""

    def leave(connection: Connection) -> None:
        raise GeneratorExit

    async with numbers(tmp_path) as database:
        with pytest.raises(GeneratorExit):
            await database.write(leave)
        assert await database.write(lambda connection: add(connection, 1)) == 1


@asynccontextmanager
async def writer_on(
    path: Path, acknowledged: list[int], settled: list[Errors]
) -> AsyncIterator[Writer[sqlite3.Connection]]:
    """A writer on SQLite's own connection, as the engine has one; it numbers by the rows of a table."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        keep_commits(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        transactions = SqliteTransactions(
            connection,
            connection,
            number=lambda driver: int(driver.execute("SELECT count(*) FROM numbers").fetchone()[0]),
            acknowledge=acknowledged.append,
        )
        writer = Writer(
            transactions,
            name="test-writer",
            failure=lambda error: LookupError(str(error)),
            settled=settled.append,
        )
        try:
            yield writer
        finally:
            await writer.close()


def put(driver: sqlite3.Connection, number: int) -> None:
    """Put a number into the table."""
    driver.execute("INSERT INTO numbers VALUES (?)", (number,))


def refer_to_nothing(driver: sqlite3.Connection) -> None:
    """Put a row whose foreign key is checked at the COMMIT only, and does not hold then."""
    driver.execute("CREATE TABLE parts (number REFERENCES numbers (number) DEFERRABLE INITIALLY DEFERRED)")
    driver.execute("INSERT INTO parts VALUES (99)")


def lose_the_transaction(driver: sqlite3.Connection) -> None:
    """Fail as on a full disk, where SQLite undoes the whole transaction."""
    driver.execute("ROLLBACK")
    raise ValueError("full")


@pytest.mark.parametrize("fail", [refer_to_nothing, lose_the_transaction])
async def test_when_a_batch_is_not_kept_all_of_its_callers_are_told_and_none_is_acknowledged(
    tmp_path: Path, fail: Callable[[sqlite3.Connection], None]
) -> None:
    """In the words that the owner of the file has for it; and the next change is kept."""
    acknowledged: list[int] = []
    settled: list[Errors] = []
    begun, go_on = threading.Event(), threading.Event()

    def put_and_wait(driver: sqlite3.Connection) -> None:
        put(driver, 1)
        begun.set()
        assert go_on.wait(10)

    async with writer_on(tmp_path / "numbers.db", acknowledged, settled) as writer:
        works = (put_and_wait, lambda driver: put(driver, 2), fail)
        batch = [asyncio.create_task(writer.write(work)) for work in works]
        assert await asyncio.to_thread(begun.wait, 10)
        go_on.set()
        told = await asyncio.gather(*batch, return_exceptions=True)
        assert [type(error) for error in told] == [LookupError] * 3
        assert (acknowledged, settled) == ([], [told])
        await writer.write(lambda driver: put(driver, 3))
        assert (acknowledged, settled) == ([1], [told, []])
    assert numbers_in(tmp_path / "numbers.db") == [3]


async def test_a_change_that_was_undone_alone_is_not_acknowledged(tmp_path: Path) -> None:
    """Its batch is told of its error, which is its own."""
    acknowledged: list[int] = []
    settled: list[Errors] = []
    async with writer_on(tmp_path / "numbers.db", acknowledged, settled) as writer:
        await writer.write(lambda driver: put(driver, 1))
        with pytest.raises(sqlite3.IntegrityError) as caught:
            await writer.write(lambda driver: put(driver, 1))
    assert (acknowledged, settled) == ([1], [[], [caught.value]])


async def test_closing_commits_what_was_handed_over(tmp_path: Path) -> None:
    """Also when there is more of it than one batch holds."""
    async with writer_on(tmp_path / "numbers.db", [], []) as writer:
        begun, go_on = threading.Event(), threading.Event()

        def hold_up(driver: sqlite3.Connection) -> None:
            begun.set()
            assert go_on.wait(10)

        first = asyncio.create_task(writer.write(hold_up))
        assert await asyncio.to_thread(begun.wait, 10)
        rest = [asyncio.create_task(writer.write(partial(put, number=number))) for number in range(100)]
        await asyncio.wait(rest, timeout=0)
        go_on.set()
    await asyncio.gather(first, *rest)
    assert numbers_in(tmp_path / "numbers.db") == list(range(100))
