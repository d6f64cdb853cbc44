"""What tables and statements are made of: metadata, the type of an instant, statements run often."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.ext.compiler import compiles

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


def only_where(condition: sa.ColumnElement[bool] | sa.TextClause) -> dict[str, Any]:
    """An index of the rows alone for which a condition holds; a migration makes that of PostgreSQL.

    SQLAlchemy loads all that it knows of PostgreSQL where a table speaks of it, which costs time at a start.
    """
    return {"sqlite_where": condition}


def is_passing(error: BaseException | None) -> bool:
    """Whether an error of a driver is one of the store, such as a full disk or a lost connection.

    One of the statement, such as a broken constraint, comes again at each attempt.
    """
    return any(kind.__name__ == "OperationalError" for kind in type(error).__mro__)


MOMENT = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}


@compiles(sa.Integer, "postgresql")
def _wide(element: sa.Integer, compiler: Any, **options: Any) -> str:
    return "BIGINT"  # numbers of SQLite have 64 bits


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """What a reader reads inside belongs together, also while others write."""
    connection.exec_driver_sql(MOMENT[connection.dialect.name])
    try:
        yield
    finally:
        connection.exec_driver_sql("ROLLBACK")


class Compiled(NamedTuple):
    """A statement as a driver takes it, with the values that are always the same and the names of all."""

    text: str
    values: Mapping[str, Any]
    names: Sequence[str]  # in the order of PostgreSQL's places


class Prepared:
    """A statement for the few that every call runs: it goes to the driver as text, compiled once a store.

    More time is spent on a statement's way through SQLAlchemy than in SQLite. Values are taken as they are,
    instants among them; a row has its instants as text.
    """

    def __init__(self, statement: sa.Executable, *, postgresql: sa.Executable | None = None) -> None:
        self._statements = {
            "sqlite": statement,
            "postgresql": statement if postgresql is None else postgresql,
        }
        self._compiled: dict[str, Compiled] = {}

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
        if len(many) == 1 or connection.dialect.name != "sqlite":
            return sum(self.execute(connection, values) for values in many)
        compiled = self.of(connection)
        driver: Any = connection.connection.dbapi_connection  # of sqlite3, without a way through the pool
        try:
            return int(
                driver.executemany(
                    compiled.text, [_texts(compiled.values, values) for values in many]
                ).rowcount
            )
        except _error_of(connection) as error:
            raise sa.exc.DBAPIError(compiled.text, None, error) from error  # without the values

    def of(self, connection: Connection) -> Compiled:
        """The statement for the store of a connection."""
        name = connection.dialect.name
        if name not in self._compiled:
            self._compiled[name] = _compiled(self._statements[name], name)
        return self._compiled[name]

    def _run(self, connection: Connection, values: Mapping[str, Any]) -> tuple[Sequence[Any], int]:
        compiled = self.of(connection)
        texts = _texts(compiled.values, values)
        try:
            if connection.dialect.name == "sqlite":
                cursor: Any = connection.connection.dbapi_connection.execute(compiled.text, texts)  # type: ignore[union-attr]
                return cursor.fetchall(), cursor.rowcount
            from atlas.database.postgresql import libpq  # only where psycopg is used

            return libpq.run(connection, compiled.text, [texts[name] for name in compiled.names])
        except _error_of(connection) as error:
            raise sa.exc.DBAPIError(compiled.text, None, error) from error  # without the values


def _compiled(statement: sa.Executable, store: str) -> Compiled:
    load, style = {
        "sqlite": ("sqlite", "named"),
        "postgresql": ("postgresql.psycopg", "numeric_dollar"),
    }[store]
    dialect = registry.load(load)(paramstyle=style)
    compiled: Any = cast(sa.ClauseElement, statement).compile(dialect=dialect)
    return Compiled(str(compiled), compiled.params, compiled.positiontup or ())


def _texts(fixed: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    texts = {**fixed, **values}
    for name, value in values.items():
        if isinstance(value, datetime):
            texts[name] = instant_text(value)
    return texts


def _error_of(connection: Connection) -> type[Exception]:
    """What the driver of a connection raises."""
    kind: type[Exception] = connection.dialect.loaded_dbapi.Error
    return kind


def as_raised(error: BaseException, *, kinds: type[Exception] | tuple[type[Exception], ...]) -> BaseException:
    """An error of these kinds as SQLAlchemy raises those of a driver, and any other as it is."""
    if not isinstance(error, kinds):
        return error
    failure = sa.exc.DBAPIError(None, None, error)
    failure.__cause__ = error
    return failure
