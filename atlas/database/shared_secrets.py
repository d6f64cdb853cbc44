"""Keys that gateways make themselves and all of a store need: kept there once, the first one wins."""

from collections.abc import Callable
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database.database import Database
from atlas.database.tables import secrets
from atlas.instants import now


async def shared_secret(database: Database, name: str, make: Callable[[], str]) -> str:
    """The secret of a name; `make` makes it where no gateway has kept one yet."""
    found = await database.read(partial(_kept, name=name))
    if found is not None:
        return found
    return await database.write(partial(_keep_first, name=name, made=make()))


def _keep_first(connection: Connection, *, name: str, made: str) -> str:
    kept = _kept(connection, name=name)
    if kept is not None:
        return kept
    connection.execute(secrets.insert().values(name=name, secret=made, made_at=now()))
    return made


def _kept(connection: Connection, *, name: str) -> str | None:
    kept: str | None = connection.scalar(sa.select(secrets.c.secret).where(secrets.c.name == name))
    return kept
