"""An installation moves from one store to another: all tables, as a whole or not at all, and verified."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.database.beside import NO_GATEWAY, Moment, Target
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.errors import CopyRefused, LedgerBroken

OURS = "alembic_version"  # which says of which version the tables are, in both stores
NEXT = (
    "Next: set {setting} in .env. The files of the engine stay in the data directory of the gateway. Then "
    "start the gateway."
)

MENDED = ", in {count} of them U+FFFD stands for a character that cannot be kept there"

Columns = dict[str, list[str]]


def copy(here: Location, there: Location) -> Iterator[str]:
    """Copy all that a store holds into an empty one, and tell how far it has come.

    Raises CopyRefused, DataDirectoryInUse, DatabaseUnusable and LedgerBroken; the target is empty then.
    """
    source, target = beside(here), beside(there)
    if source.place == target.place:
        raise CopyRefused(reason=f"{source.place} is the store that the settings name.")
    if here.url is None and not source.tables():  # else a file would be made to be copied
        raise CopyRefused(reason=NO_GATEWAY.format(place=source.place))
    with source.as_source():
        with source.moment() as read, target.as_target() as filled:
            yield from fill(read, filled)
        yield f"{source.place} is copied to {target.place}."
        yield source.retire()
    yield NEXT.format(setting=target.setting)


def fill(read: Moment, filled: Target) -> Iterator[str]:
    """Copy all tables, and verify what arrived; raises CopyRefused and LedgerBroken."""
    tables = read.run(columns_of)
    _require_same(tables, filled.run(columns_of))
    for table in tables:
        yield f"  {table}: {_copied(read, filled, table, tables[table])}"
    yield f"  the ledger verifies there, with {_verified(read, filled)} entries"


def columns_of(connection: Connection) -> Columns:
    """The columns of each table, what is referred to before what refers to it."""
    found = sa.inspect(connection)
    ordered = [name for name, _ in found.get_sorted_table_and_fkc_names() if name not in (None, OURS)]
    return {str(name): [str(one["name"]) for one in found.get_columns(str(name))] for name in ordered}


def _require_same(tables: Columns, there: Columns) -> None:
    for table in tables:
        if set(there.get(table, ())) != set(tables[table]):
            raise CopyRefused(reason=f"The table {table} of the target is another one.")


def _copied(read: Moment, filled: Target, table: str, columns: list[str]) -> str:
    """Copy one table, and say how many rows both stores have."""
    count = partial(_count, table=table)
    if filled.run(count):
        raise CopyRefused(reason=f"The target is not empty: {table} has rows. Make a new database for it.")
    named = ", ".join(f'"{name}"' for name in columns)
    mended = filled.fill(table, columns, read.rows(f"SELECT {named} FROM {table}"))  # noqa: S608  (our own names)
    was, has = read.run(count), filled.run(count)
    if mended and table == ledger.entries.name:
        raise CopyRefused(
            reason="An entry of the ledger has the character NUL, which the target cannot hold."
        )
    if was != has:
        raise CopyRefused(reason=f"{table} has {was} rows, and {has} of them arrived.")
    return f"{has} rows{MENDED.format(count=mended) if mended else ''}"


def _count(connection: Connection, *, table: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608


def _verified(read: Moment, filled: Target) -> int:
    """Verify the ledger of the target, and that it is the source's; returns the number of entries."""
    newest: Callable[[Connection], Any] = ledger.head
    count = ledger.verify(ledger.decoded(filled.rows(ledger.WHOLE)))
    if read.run(newest) != filled.run(newest):
        raise LedgerBroken(seq=count, reason="it is not the newest one of the source")
    return count
