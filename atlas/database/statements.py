"""What tables and statements are made of: metadata, the type of an instant, statements run often."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection, Dialect

from atlas.instants import instant_text, read_instant

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(sa.TypeDecorator[datetime]):
    """A point in time, kept as ISO 8601 text in UTC with microseconds, so that it also sorts as text."""

    impl = sa.String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Write a datetime that knows its zone."""
        return None if value is None else instant_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Read it back, in UTC."""
        return None if value is None else read_instant(value)


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """What a reader of the file reads inside belongs together, also while others write."""
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    finally:
        connection.exec_driver_sql("ROLLBACK")


class Prepared:
    """A statement for the few that every call runs: on SQLite it goes to the driver as text, compiled once.

    There more time is spent on a statement's way through SQLAlchemy than in SQLite. Values are taken as they
    are, instants among them; a row from SQLite has its instants as text.
    """

    def __init__(self, statement: sa.Executable) -> None:
        self.statement = statement
        compiled = cast(sa.ClauseElement, statement).compile(dialect=sqlite.dialect(paramstyle="named"))
        self._text, self._values = str(compiled), compiled.params

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Run it in the transaction of a connection and return the first row as a tuple, or None."""
        return next(iter(self.rows(connection, values)), None)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """Run it in the transaction of a connection and return its rows as tuples."""
        return self._run(connection, values)[0]

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run it in the transaction of a connection and return how many rows it changed."""
        return self._run(connection, values)[1]

    def execute_all(self, connection: Connection, many: Sequence[Mapping[str, Any]]) -> int:
        """Run it once with each of many values, at one go, and return how many rows it changed."""
        if connection.dialect.name != "sqlite":
            return sum(self.execute(connection, values) for values in many)
        driver: Any = connection.connection.dbapi_connection  # of sqlite3, without a way through the pool
        try:
            return int(driver.executemany(self._text, [self._texts(values) for values in many]).rowcount)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _run(self, connection: Connection, values: Mapping[str, Any]) -> tuple[Sequence[Any], int]:
        if connection.dialect.name != "sqlite":
            result = connection.execute(self.statement, dict(values))
            return result.all() if result.returns_rows else (), result.rowcount
        driver: Any = connection.connection.dbapi_connection  # of sqlite3, without a way through the pool
        try:
            cursor = driver.execute(self._text, self._texts(values))
            return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _texts(self, values: Mapping[str, Any]) -> dict[str, Any]:
        texts = {**self._values, **values}
        for name, value in values.items():
            if isinstance(value, datetime):
                texts[name] = instant_text(value)
        return texts

    def _failure(self, error: sqlite3.Error) -> sa.exc.DBAPIError:
        return sa.exc.DBAPIError(self._text, None, error)  # without the values
