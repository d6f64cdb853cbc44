"""What `python -m atlas.database check` says of a PostgreSQL database."""

from collections.abc import Iterator

from sqlalchemy.engine import Connection, Engine

from atlas.database.postgresql.copying import GATEWAYS
from atlas.database.postgresql.migrating import version_of
from atlas.database.postgresql.problems import PAGE
from atlas.database.postgresql.store import DURABLE, check_server
from atlas.database.postgresql.transactions import PostgresTransactions
from atlas.errors import DatabaseUnusable

NEEDED = """
SELECT relname::text FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
    AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT'))
ORDER BY 1
"""
CONNECTIONS = """
SELECT current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int - count(*)
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""
SSL = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
LACKS = "its user has not all rights on {table}: {page} names them."


def findings(engine: Engine, place: str) -> Iterator[str]:
    """What is right, in sentences; raises DatabaseUnusable for what keeps a gateway from it."""
    with engine.connect() as connection:
        check_server(connection, place)
        yield from _server(connection, place)
        version = version_of(connection)
        yield f"The tables are of version {version}." if version else "There are no tables yet."
        _require_rights(connection, place)
        free = connection.exec_driver_sql(CONNECTIONS).scalar_one()
        gateways = connection.exec_driver_sql(GATEWAYS).scalar_one()
        yield f"Connections: {gateways} of gateways now, {free} free. {PAGE} says how many one takes."
    if version:
        _change_nothing(engine)
        yield "A change gets its turn and could be kept."


def _server(connection: Connection, place: str) -> Iterator[str]:
    number, user = connection.exec_driver_sql("SELECT current_setting('server_version'), current_user").one()
    tls = connection.exec_driver_sql(SSL).scalar()
    how = f"over {tls}" if tls else "without TLS"
    yield f"{place}: PostgreSQL {number} as {user}, {how}."
    kept = ", ".join(f"{name} {connection.exec_driver_sql(f'SHOW {name}').scalar()}" for name in DURABLE)
    yield f"It keeps what it acknowledges: {kept}."


def _require_rights(connection: Connection, place: str) -> None:
    for (table,) in connection.exec_driver_sql(NEEDED):
        raise DatabaseUnusable(path=place, reason=LACKS.format(table=table, page=PAGE))


def _change_nothing(engine: Engine) -> None:
    """Take the turn of a change, and give it back."""
    transactions = PostgresTransactions(engine.connect)
    try:
        transactions.begin()
        transactions.undo()
    finally:
        transactions.close()
