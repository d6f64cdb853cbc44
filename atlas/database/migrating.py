"""Which version the tables of a file have, and how they come to the newest one.

Alembic is imported only when a file is older than the gateway: it costs a tenth of a start.
A new file is made by `newest_tables.sql`, which a test holds equal to what the migrations make; after a new
migration `python -m atlas.database.migrating` writes it again.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from atlas.errors import DatabaseUnusable

MIGRATIONS = Path(__file__).parent / "migrations"
NEWEST_TABLES = Path(__file__).parent / "newest_tables.sql"
NEWER = (
    "its tables are not of this version of the gateway, but of a newer one, with which it cannot work. "
    "Start the newer gateway."
)


def bring_up_to_date(path: Path) -> None:
    """Bring the tables of a file, new or old, to the newest version; raises DatabaseUnusable."""
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if not _has_tables(connection):
            connection.executescript(NEWEST_TABLES.read_text())
        is_newest = version_of(connection) == newest_version()
    if not is_newest:  # which also mends a newest_tables.sql that was left behind
        migrate(path)


def is_newest(path: Path) -> bool:
    """Whether the tables of a file are there, and of the newest version; raises sqlite3.Error."""
    if not (path.exists() and path.stat().st_size):
        return False
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return version_of(connection) == newest_version()


def newest_version() -> str:
    """The number of the newest migration, by the names of their files."""
    return max(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def migrate(path: Path, revision: str = "head") -> None:
    """Bring the tables of a file to a version by the migrations; raises DatabaseUnusable."""
    path.touch(mode=0o600)
    engine = sa.create_engine(f"sqlite:///{path}")
    # As a whole or not at all: the driver's own transactions would leave half an update behind a kill.
    sa.event.listen(engine, "connect", leave_transactions)
    sa.event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.begin() as connection:
            run_migrations(connection, revision)
    except RevisionUnknown as error:
        raise DatabaseUnusable(path=path, reason=NEWER) from error
    finally:
        engine.dispose()


class RevisionUnknown(Exception):
    """There is no migration of this number here."""


def run_migrations(connection: sa.Connection, revision: str = "head") -> None:
    """Run the migrations that lack, in the transaction of a connection; raises RevisionUnknown."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise RevisionUnknown from error


def leave_transactions(connection: Any, entry: ConnectionPoolEntry) -> None:
    """Keep the driver from beginning transactions, which it would do too late: see _begin_immediate."""
    connection.isolation_level = None


def _begin_immediate(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later could otherwise find the file changed in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def version_of(connection: sqlite3.Connection) -> str | None:
    """The number of the version that the tables of a file have; None: it has none of ours."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found[0]) if found else None


def tables_of_migrations() -> str:
    """The statements that make, in one transaction, what the migrations make of an empty file."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "atlas.db"
        migrate(path)
        with closing(sqlite3.connect(path)) as connection:
            made = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
            statements = [f"{row[0]};" for row in connection.execute(made)]
            row = connection.execute("SELECT version_num, oldest_version FROM alembic_version").fetchone()
            version = f"INSERT INTO alembic_version VALUES {row!r};"  # noqa: S608  (our own)
    return "\n\n".join(["BEGIN IMMEDIATE;", *statements, version, "COMMIT;\n"])


if __name__ == "__main__":
    NEWEST_TABLES.write_text(tables_of_migrations())
