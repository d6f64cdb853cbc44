"""Indexes of a part of the rows, on either store."""

from typing import Any

import sqlalchemy as sa


def only_where(condition: sa.ColumnElement[bool] | sa.TextClause) -> dict[str, Any]:
    """An index of the rows alone for which a condition holds."""
    return {"sqlite_where": condition, "postgresql_where": condition}
