"""What SQLite and PostgreSQL say in different words, said once: texts in JSON, times, rows that are there."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# A document in PostgreSQL is text too: its own types refuse what JSON allows, such as a NUL in a text. The
# functions of migration 0014 find nothing in what is no JSON, instead of failing.


def insert_of(connection: Connection, table: sa.Table) -> Any:
    """An INSERT that can say what happens where the row is there: `on_conflict_do_nothing`, `…_do_update`."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    return insert(table)


class _InDocument(FunctionElement[Any]):
    """A function of a document in JSON and of a path of keys in it."""

    in_sqlite = "json_extract"
    in_postgresql = "atlas_json_text"

    def __init__(self, document: Any, *keys: str) -> None:
        super().__init__(document, *(sa.literal_column(_quoted(key)) for key in keys))


class json_value(_InDocument):
    """The text that stands at a path of keys; a list or an object is its JSON text; NULL: nothing."""

    inherit_cache = True
    name = "json_value"
    type = sa.Text()


class json_number(_InDocument):
    """The whole number that stands at a path of keys; NULL: none."""

    inherit_cache = True
    name = "json_number"
    type = sa.Integer()
    in_postgresql = "atlas_json_int"


class json_is_true(_InDocument):
    """Whether `true` stands at a path of keys; what is no JSON says nothing."""

    inherit_cache = True
    name = "json_is_true"
    type = sa.Boolean()


class json_elements(_InDocument):
    """The elements of a list at a path of keys, one a row: its `table_valued("value")`."""

    inherit_cache = True
    name = "json_elements"
    in_sqlite = "json_each"


class json_length(_InDocument):
    """How many elements a list at a path of keys has; NULL: there is none."""

    inherit_cache = True
    name = "json_length"
    type = sa.Integer()
    in_sqlite = "json_array_length"


class json_list(FunctionElement[str]):
    """The JSON text of a list of the values of a group."""

    inherit_cache = True
    name = "json_list"
    type = sa.Text()


class seconds_between(FunctionElement[float]):
    """The seconds from one instant to another."""

    inherit_cache = True
    name = "seconds_between"
    type = sa.Float()


class store_now(FunctionElement[str]):
    """The present moment by the clock of the store, as an instant is kept."""

    inherit_cache = True
    name = "store_now"
    type = sa.String()


class _AsItIs(FunctionElement[Any]):
    """A column, so that a store does not go along an index of it."""

    def __init__(self, column: sa.ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


class without_index(_AsItIs):
    """A column for which SQLite looks for no index: else it plans the statement at each run."""

    inherit_cache = True
    name = "without_index"


class without_order(_AsItIs):
    """A column of text along whose index no store goes to sort by it: what it looks for are a few of many."""

    inherit_cache = True
    name = "without_order"


class is_like(FunctionElement[bool]):
    """Whether a text fits a pattern of LIKE, in which `!` escapes; capitals of ASCII make no difference."""

    inherit_cache = True
    name = "is_like"
    type = sa.Boolean()


def _quoted(key: str) -> str:
    return "'" + key.replace("'", "''") + "'"


def _parts(element: _InDocument, compiler: SQLCompiler, **options: Any) -> tuple[str, list[str]]:
    document, *keys = (compiler.process(clause, **options) for clause in element.clauses)
    return document, keys


@compiles(json_value, "sqlite")
@compiles(json_number, "sqlite")
@compiles(json_elements, "sqlite")
@compiles(json_length, "sqlite")
def _in_sqlite(element: _InDocument, compiler: SQLCompiler, **options: Any) -> str:
    document, keys = _parts(element, compiler, **options)
    path = "".join(f'."{key[1:-1]}"' for key in keys)
    return f"{element.in_sqlite}({document}, '${path}')"


@compiles(json_value, "postgresql")
@compiles(json_number, "postgresql")
def _in_postgresql(element: _InDocument, compiler: SQLCompiler, **options: Any) -> str:
    document, keys = _parts(element, compiler, **options)
    return f"{element.in_postgresql}({document}, {', '.join(keys)})" if keys else document


@compiles(json_is_true, "sqlite")
def _(element: _InDocument, compiler: SQLCompiler, **options: Any) -> str:
    document, _keys = _parts(element, compiler, **options)
    found = f"{_in_sqlite(element, compiler, **options)} = 1"
    return f"(CASE WHEN json_valid({document}) THEN {found} ELSE 0 END)"


@compiles(json_is_true, "postgresql")
def _(element: _InDocument, compiler: SQLCompiler, **options: Any) -> str:
    return f"({_in_postgresql(element, compiler, **options)} = 'true')"


@compiles(json_elements, "postgresql")
def _(element: _InDocument, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements_text(CAST({_in_postgresql(element, compiler, **options)} AS json))"


@compiles(json_length, "postgresql")
def _(element: _InDocument, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_length(CAST({_in_postgresql(element, compiler, **options)} AS json))"


@compiles(json_list, "sqlite")
def _(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **options)})"


@compiles(json_list, "postgresql")
def _(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    values = compiler.process(element.clauses, **options)
    return f"COALESCE(CAST(json_agg({values}) AS TEXT), '[]')"


@compiles(seconds_between, "sqlite")
def _(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    begin, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"((julianday({end}) - julianday({begin})) * 86400.0)"


@compiles(seconds_between, "postgresql")
def _(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    begin, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"CAST(EXTRACT(EPOCH FROM CAST({end} AS TIMESTAMPTZ) - CAST({begin} AS TIMESTAMPTZ)) AS FLOAT8)"


@compiles(store_now, "sqlite")
def _(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return "strftime('%Y-%m-%dT%H:%M:%f000Z')"


@compiles(store_now, "postgresql")
def _(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@compiles(without_index, "sqlite")
@compiles(without_order, "sqlite")
def _(element: _AsItIs, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(without_index, "postgresql")
def _(element: _AsItIs, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(without_order, "postgresql")
def _(element: _AsItIs, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} || '')"


@compiles(is_like, "sqlite")
def _(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return _like("LIKE", element, compiler, **options)


@compiles(is_like, "postgresql")
def _(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return _like("ILIKE", element, compiler, **options)


def _like(operator: str, element: Any, compiler: SQLCompiler, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({text} {operator} {pattern} ESCAPE '!')"
