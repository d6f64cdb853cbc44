"""Filters of the inbox that a person keeps under a name."""

from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import kept_filters
from atlas.database.database import Database
from atlas.database.dialects import insert_of
from atlas.errors import RequestInvalid
from atlas.instants import now
from atlas.models import plain_text

MOST = 30  # of one person
LONGEST_NAME = 100  # characters


@dataclass(frozen=True)
class KeptFilter:
    """One of them: its name, and the query of the inbox."""

    name: str
    query: str


async def kept_of(database: Database, person_name: str) -> tuple[KeptFilter, ...]:
    """All of a person's, by name."""
    mine = sa.select(kept_filters.c.name, kept_filters.c.query).where(kept_filters.c.person == person_name)
    query = mine.order_by(kept_filters.c.name)
    rows = await database.look(lambda connection: connection.execute(query).all())
    return tuple(KeptFilter(row.name, row.query) for row in rows)


async def keep(database: Database, person_name: str, *, name: str, query: str) -> None:
    """Keep a filter; one of that name is replaced. Raises RequestInvalid."""
    name = " ".join(plain_text(name).split())
    if not 1 <= len(name) <= LONGEST_NAME:
        raise RequestInvalid(
            reason=f"The filter was not kept: its name needs 1 to {LONGEST_NAME} characters that can be seen."
        )
    await database.write(partial(_keep, person_name=person_name, name=name, query=query))


async def forget(database: Database, person_name: str, *, name: str) -> None:
    """Delete a filter; nothing where there is none."""
    mine = (kept_filters.c.person == person_name, kept_filters.c.name == name)
    await database.write(lambda connection: connection.execute(kept_filters.delete().where(*mine)).rowcount)


def _keep(connection: Connection, *, person_name: str, name: str, query: str) -> None:
    others = sa.select(sa.func.count()).where(
        kept_filters.c.person == person_name, kept_filters.c.name != name
    )
    if int(connection.scalar(others) or 0) >= MOST:
        raise RequestInvalid(
            reason=f"The filter was not kept: you keep {MOST} already. Delete one of them first."
        )
    row = {"person": person_name, "name": name, "query": query, "kept_at": now()}
    replaced = {"query": query, "kept_at": row["kept_at"]}
    connection.execute(
        insert_of(connection, kept_filters)
        .values(row)
        .on_conflict_do_update(index_elements=["person", "name"], set_=replaced)
    )
