"""A PostgreSQL database that is copied, and one that is filled."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from sqlalchemy.engine import Connection, Engine

from atlas.database.postgresql.address import GATEWAY, driver_of
from atlas.database.postgresql.migrating import bring_up_to_date
from atlas.database.postgresql.transactions import WRITE_LOCK
from atlas.errors import CopyRefused
from atlas.texts import keepable

Result = TypeVar("Result")
AT_ONCE = 2000  # rows that a cursor of the server hands over
GATEWAYS = f"""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = '{GATEWAY}'
"""  # noqa: S608  (our own)
RUNNING = "{count} connections of gateways work on {place}. Stop the gateways first."
NO_END = "idle_in_transaction_session_timeout = 0"
NUMBERED = """
SELECT c.table_name::text, c.column_name::text FROM information_schema.columns AS c
WHERE c.table_schema = current_schema() AND c.column_default LIKE 'nextval(%'
"""


class PostgresTarget:
    """The transaction in which a database is filled."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver: psycopg.Connection[Any] = driver_of(connection)

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
        """Put rows into a table as they come; returns how many had a text that PostgreSQL cannot hold."""
        named = sql.SQL(", ").join(map(sql.Identifier, columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), named)
        mended = 0
        with self._driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                kept = tuple(keepable(value) if isinstance(value, str) else value for value in row)
                mended += kept != row
                copy.write_row(kept)
        return mended

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Run work on the connection of the transaction."""
        return work(self._connection)

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement as they come."""
        with self._driver.cursor("rows") as cursor:
            cursor.itersize = AT_ONCE
            cursor.execute(statement)
            yield from cursor

    def go_on_numbering(self) -> None:
        """Have new rows numbered behind those that were filled in."""
        for table, column in self._driver.execute(NUMBERED).fetchall():
            newest = sql.SQL("SELECT max({}) FROM {}").format(sql.Identifier(column), sql.Identifier(table))
            (number,) = self._driver.execute(newest).fetchone() or (None,)
            if number is not None:
                values = [f'"{table}"', column, number]
                self._driver.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", values)


def require_no_gateways(connection: Connection, place: str) -> None:
    """Raise CopyRefused while gateways are connected."""
    count = connection.exec_driver_sql(GATEWAYS).scalar_one()
    if count:
        raise CopyRefused(reason=RUNNING.format(count=count, place=place))


@contextmanager
def _begun(engine: Engine, place: str) -> Iterator[Connection]:
    """A transaction that keeps gateways from changing a database; it is rolled back unless committed."""
    with engine.connect() as connection:
        require_no_gateways(connection, place)
        connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
        for setting in ("synchronous_commit = on", "statement_timeout = 0", "lock_timeout = '60s'", NO_END):
            connection.exec_driver_sql(f"SET LOCAL {setting}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
        try:
            yield connection
        finally:
            if not connection.closed and not driver_of(connection).closed:
                connection.exec_driver_sql("ROLLBACK")


@contextmanager
def copied(engine: Engine, place: str) -> Iterator[None]:
    """While this is entered nothing changes a database; raises CopyRefused."""
    with _begun(engine, place):
        yield


@contextmanager
def filled(engine: Engine, place: str) -> Iterator[PostgresTarget]:
    """A database to be filled, whose tables are made where they lack; raises CopyRefused."""
    with engine.connect() as connection:
        require_no_gateways(connection, place)
    bring_up_to_date(engine, place)
    with _begun(engine, place) as connection:
        target = PostgresTarget(connection)
        yield target
        target.go_on_numbering()
        connection.exec_driver_sql("COMMIT")
