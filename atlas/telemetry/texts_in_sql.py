"""What each database writes in its own way: the seconds of an instant, and a key of a JSON text."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class Seconds(FunctionElement[float]):
    """An instant, which is kept as text, as seconds since 1970."""

    type = sa.Float()
    inherit_cache = True


class JsonKey(FunctionElement[str]):
    """What a JSON text has under a key, as text; NULL without it."""

    type = sa.Text()
    inherit_cache = True


@compiles(Seconds, "sqlite")
def _seconds_sqlite(element: Seconds, compiler: SQLCompiler, **named: Any) -> str:
    return f"((julianday({compiler.process(element.clauses, **named)}) - 2440587.5) * 86400.0)"


@compiles(Seconds, "postgresql")
def _seconds_postgresql(element: Seconds, compiler: SQLCompiler, **named: Any) -> str:
    return f"extract(epoch from ({compiler.process(element.clauses, **named)})::timestamptz)::float8"


@compiles(JsonKey, "sqlite")
def _json_key_sqlite(element: JsonKey, compiler: SQLCompiler, **named: Any) -> str:
    text, key = (compiler.process(clause, **named) for clause in element.clauses)
    return f"json_extract({text}, '$.' || {key})"


@compiles(JsonKey, "postgresql")
def _json_key_postgresql(element: JsonKey, compiler: SQLCompiler, **named: Any) -> str:
    text, key = (compiler.process(clause, **named) for clause in element.clauses)
    return f"(({text})::json ->> {key})"
