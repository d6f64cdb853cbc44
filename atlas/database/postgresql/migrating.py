"""Which version the tables of a PostgreSQL database have, and how they come to the newest one.

The migrations are those of SQLite. Gateways that start together make them one after the other. A gateway goes
on with newer tables that say that it can, so that old and new ones run side by side.
"""

import logging

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from atlas.database.migrating import NEWER, RevisionUnknown, newest_version, run_migrations
from atlas.errors import DatabaseUnusable

logger = logging.getLogger(__name__)
MIGRATION_LOCK = 0x41544C4D  # "ATLM"


def bring_up_to_date(engine: Engine, place: str) -> None:
    """Bring the tables of a database, new or old, to the newest version; raises DatabaseUnusable."""
    with engine.connect() as connection:
        if works_with(connection):
            return
    migrate(engine, place)


def migrate(engine: Engine, place: str, revision: str = "head") -> None:
    """Bring the tables to a version, as a whole or not at all; raises DatabaseUnusable."""
    with engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        try:
            run_migrations(connection, revision)
        except RevisionUnknown as error:
            raise DatabaseUnusable(path=place, reason=NEWER) from error


def works_with(connection: Connection) -> bool:
    """Whether this gateway works with the tables: they are its own, or newer ones that say so."""
    found, own = version_of(connection), newest_version()
    if found is None or found <= own:
        return found == own
    if oldest_of(connection) > own:
        return False
    logger.info("The tables are of version %s, the gateway is of %s; they work together", found, own)
    return True


def oldest_of(connection: Connection) -> str:
    """The oldest version whose gateways can work with the tables."""
    return str(connection.execute(sa.text("SELECT oldest_version FROM alembic_version")).scalar())


def version_of(connection: Connection) -> str | None:
    """The number of the version that the tables have; None: there are none of ours."""
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
