"""Changes by a command, in a process of its own: beside the gateway that runs, or where none does.

SQLite lets one process write at a time. The gateway reads the newest entry of the ledger in each transaction,
so the chain goes on whichever process wrote it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from atlas.database.data_directory import examine, lock_directory, make_directory
from atlas.database.migrating import bring_up_to_date, is_newest
from atlas.database.sqlite import prepare_writer, refusing
from atlas.database.sqlite_files import read_acknowledged
from atlas.errors import DatabaseUnusable, DataDirectoryInUse

Result = TypeVar("Result")
ANOTHER_VERSION = "the gateway that runs is of another version than this command. Restart it."


def change(directory: Path, work: Callable[[Connection], Result]) -> Result:
    """Run work, which makes all of its changes at once, or none; they are on disk when it returns.

    Raises DataDirectoryUnusable, DatabaseUnusable, and what work raises.
    """
    path = directory / "atlas.db"
    make_directory(directory)
    with refusing(path):
        _make_ready(path)
        with engine_of(path) as engine, engine.connect() as connection:
            return in_one_transaction(connection, work)


@contextmanager
def engine_of(path: Path) -> Iterator[Engine]:
    """Connections to the file that keep what they commit."""
    engine = sa.create_engine(f"sqlite:///{path}", hide_parameters=True)
    sa.event.listen(engine, "connect", prepare_writer)
    try:
        yield engine
    finally:
        engine.dispose()


def in_one_transaction(connection: Connection, work: Callable[[Connection], Result]) -> Result:
    """Run work as a whole or not at all; what it reads first does not change before it writes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # waits for the gateway's own changes, up to 5 seconds
    try:
        result = work(connection)
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        with suppress(sa.exc.DBAPIError):  # where SQLite has undone it already
            connection.exec_driver_sql("ROLLBACK")
        raise
    return result


def _make_ready(path: Path) -> None:
    """Make the tables, or bring them up to date, as the gateway does at its start."""
    if is_newest(path):
        return
    try:
        lock = lock_directory(path.parent)
    except DataDirectoryInUse:
        if is_newest(path):  # it has just been made by a gateway that starts
            return
        raise DatabaseUnusable(path=path, reason=ANOTHER_VERSION) from None
    try:
        examine(path, read_acknowledged(lock))
        bring_up_to_date(path)
    finally:
        os.close(lock)
