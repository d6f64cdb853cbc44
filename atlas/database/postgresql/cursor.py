"""Statements with what no text of PostgreSQL can hold: NUL, and half of a character (a lone surrogate).

The store does not refuse them, so the call that they are about is held and told as any other.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from atlas.texts import keepable


class KeepingCursor(psycopg.Cursor[Any]):
    """A cursor that puts U+FFFD in the place of what PostgreSQL cannot hold."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Run a statement; psycopg looks at its values before it sends anything, so others cost nothing."""
        try:
            return super().execute(query, params, **options)
        except (psycopg.DataError, UnicodeEncodeError):
            if (kept := _keepable(params)) == params:
                raise
            return super().execute(query, kept, **options)

    def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        """Run a statement once with each of many values; a failure in the middle could not be repeated."""
        super().executemany(query, [_keepable(params) for params in params_seq], **options)


def _keepable(params: Any) -> Any:
    if isinstance(params, Mapping):
        return {name: _text(value) for name, value in params.items()}
    return None if params is None else tuple(map(_text, params))


def _text(value: Any) -> Any:
    return keepable(value) if isinstance(value, str) else value
