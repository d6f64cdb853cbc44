"""Why a PostgreSQL database cannot be used, and what an operator can do about it, in sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from atlas.database.failures import CommitUnknown
from atlas.errors import DatabaseUnusable, RecordUnknown

PAGE = "docs/how-to/postgresql.md"
CHECK_URL = "Check host and port in ATLAS_DATABASE_URL, and that the server runs."
READ_ONLY = (
    "it takes no changes: it is a standby, or read-only. Name the primary in ATLAS_DATABASE_URL, or all"
    " servers and target_session_attrs=read-write."
)
WHO = "Mend user or password in ATLAS_DATABASE_URL."
LET_IN = "Let the user in with a line in pg_hba.conf, or mend ATLAS_DATABASE_URL."
LATER = "Start again when it answers."
CONNECTIONS = f"Raise max_connections of the server, or use PgBouncer: {PAGE}."
TLS = "Mend sslmode and sslrootcert in ATLAS_DATABASE_URL."
POOLED = "Behind PgBouncer before 1.21 add ?prepare=off to ATLAS_DATABASE_URL."
# The server knows these by a number, but tells none while a client connects.
BY_WORDS: dict[str, str] = {
    "certificate": TLS,  # also a file that does not exist
    "SSL": TLS,
    "password authentication failed": WHO,
    "no password supplied": WHO,
    "no pg_hba.conf entry": LET_IN,
    "authentication failed": LET_IN,  # by the name on the server's own machine, for instance
    "role ": f"Make the user: {PAGE} shows how.",
    "does not exist": "Make the database (createdb), or mend its name in ATLAS_DATABASE_URL.",
    "starting up": LATER,
    "shutting down": LATER,
    "recovery mode": LATER,
    "too many": CONNECTIONS,
    "remaining connection slots": CONNECTIONS,
    "no more connections allowed": CONNECTIONS,  # by PgBouncer
    "session is read-only": "None of the servers that ATLAS_DATABASE_URL names takes changes.",
    "connection option": "Take it out of ATLAS_DATABASE_URL.",
    "unsupported startup parameter": "PgBouncer takes no `options`: take them out of ATLAS_DATABASE_URL.",
}
BY_KIND: tuple[tuple[type[psycopg.Error], str], ...] = (
    (psycopg.errors.ReadOnlySqlTransaction, READ_ONLY),
    (psycopg.errors.InsufficientPrivilege, f"Give the user the rights that {PAGE} names."),
    (psycopg.errors.InvalidSqlStatementName, POOLED),
    (psycopg.errors.DuplicatePreparedStatement, POOLED),
    (psycopg.errors.LockNotAvailable, "Another process changes it for too long. Try again."),
    (psycopg.errors.DiskFull, "Make room on the disk of the server."),
)


@contextmanager
def refusing(place: str) -> Iterator[None]:
    """Say in a sentence, with DatabaseUnusable, why a database cannot be used."""
    try:
        yield
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        raise DatabaseUnusable(path=place, reason=sentence(error)) from error


def sentence(error: BaseException) -> str:
    """What the driver says in its first line, and the remedy."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig is not None else error
    said = " ".join(str(cause).strip().partition("\n")[0].split()).rstrip(".")
    known = f" {RecordUnknown()}" if isinstance(error, CommitUnknown) else ""
    return f"{said}.{known} {remedy(cause, said)}".strip()


def remedy(error: BaseException, said: str) -> str:
    """What to do; for an error of a statement there may be nothing."""
    for kind, then in BY_KIND:
        if isinstance(error, kind):
            return then
    if getattr(error, "sqlstate", None) is not None:  # of a statement, on a connection that works
        return ""
    return next((then for words, then in BY_WORDS.items() if words in said), CHECK_URL)
