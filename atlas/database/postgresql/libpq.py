"""Statements by psycopg's own libpq, prepared once a connection: a third of the CPU time of its cursors.

It is for the few that every call runs: 40 of them in one call (benchmarks/governed_call.py --postgresql).
"""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from sqlalchemy.engine import Connection

from atlas.texts import keepable

# How the kinds of values that the tables have are read; what is in none of these is text.
_READERS: dict[int, Callable[[bytes], Any]] = {
    16: lambda value: value == b"t",
    20: int,  # bigint
    23: int,
    701: float,
    1700: float,  # what a sum of numbers is
}
_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
PREPARES = "prepares"  # in the `info` of a connection: whether statements are prepared
_NAMES = "prepared statements"  # of a connection, by their text


def run(connection: Connection, text: str, values: Sequence[Any]) -> tuple[list[tuple[Any, ...]], int]:
    """Rows of a statement with `$1` and so on in the place of values, and how many it changed or found.

    Raises psycopg.Error.
    """
    driver: Any = connection.connection.dbapi_connection
    given = [_written(value) for value in values]
    if not connection.info.get(PREPARES):  # behind a pooler a statement may be prepared elsewhere
        result = driver.pgconn.exec_params(text.encode(), given)
    else:
        result = driver.pgconn.exec_prepared(_prepared(connection, driver, text), given)
    _check(result)
    return _rows(result), result.command_tuples or 0


def send(driver: Any, statements: str) -> Any:
    """The result of the last of some statements, which go to the server at one go; raises psycopg.Error."""
    return _check(driver.pgconn.exec_(statements.encode()))


def row_of(result: Any) -> tuple[Any, ...]:
    """The one row of a result."""
    return _rows(result)[0]


def _prepared(connection: Connection, driver: Any, text: str) -> bytes:
    names: dict[str, bytes] = connection.info.setdefault(_NAMES, {})
    name = names.get(text)
    if name is None:
        name = f"atlas_{len(names)}".encode()
        _check(driver.pgconn.prepare(name, text.encode()))
        names[text] = name
    return name


def _written(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return b"t" if value else b"f"
    return keepable(str(value)).encode()


def _rows(result: Any) -> list[tuple[Any, ...]]:
    readers = [_READERS.get(result.ftype(column), bytes.decode) for column in range(result.nfields)]
    return [
        tuple(_read(result.get_value(row, column), reader) for column, reader in enumerate(readers))
        for row in range(result.ntuples)
    ]


def _read(value: bytes | None, reader: Callable[[bytes], Any]) -> Any:
    return None if value is None else reader(value)


def _check(result: Any) -> Any:
    if result.status in _DONE:
        return result
    if result.error_field(DiagnosticField.SQLSTATE) is None:  # libpq says so itself: the server is gone
        raise psycopg.OperationalError(result.get_error_message())
    raise psycopg.errors.error_from_result(result)
