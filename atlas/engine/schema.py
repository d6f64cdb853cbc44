"""The tables of the store, and opening its file: ours, of this version, and of no other engine."""

import fcntl
import os
import pathlib
import sqlite3

from atlas.engine.errors import StoreInUse, StoreUnusable

APPLICATION_ID = 0x41544C45  # "ATLE" in the header of the file says whose it is
VERSION = 1

# due_at of the queue is 0 for what is due at once: it must not wait when the clock is set back. It is -1 for
# what goes on because time ran out, of which there may be very much at once: what is new goes first.
TABLES = """
CREATE TABLE functions (
    function_id TEXT PRIMARY KEY, app TEXT NOT NULL, configuration TEXT NOT NULL, is_archived INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE events (
    event_id TEXT PRIMARY KEY, name TEXT NOT NULL, body TEXT NOT NULL, received_at INTEGER NOT NULL
);
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, function_id TEXT NOT NULL, event_id TEXT NOT NULL, status TEXT NOT NULL,
    lane TEXT NOT NULL,
    memo_count INTEGER NOT NULL DEFAULT 0, state_size INTEGER NOT NULL,
    output TEXT, started_at INTEGER NOT NULL, ended_at INTEGER
);
CREATE INDEX runs_of_event ON runs (event_id);
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE memos (
    run_id TEXT NOT NULL, position INTEGER NOT NULL, step_id TEXT NOT NULL,
    name TEXT NOT NULL, memo TEXT NOT NULL,
    PRIMARY KEY (run_id, position), UNIQUE (run_id, step_id)
) WITHOUT ROWID;
CREATE TABLE queue (
    item_id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, step_id TEXT NOT NULL,
    lane TEXT NOT NULL, attempt INTEGER NOT NULL,
    is_race INTEGER NOT NULL, due_at INTEGER NOT NULL, UNIQUE (run_id, step_id)
);
CREATE INDEX queue_due ON queue (due_at, item_id);
CREATE TABLE pauses (
    pause_id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, step_id TEXT NOT NULL,
    kind TEXT NOT NULL, step_name TEXT NOT NULL,
    event_name TEXT NOT NULL, match_path TEXT NOT NULL, match_value TEXT,
    expression TEXT NOT NULL, is_race INTEGER NOT NULL, due_at INTEGER, UNIQUE (run_id, step_id)
);
CREATE INDEX pauses_match ON pauses (event_name, match_path, match_value);
CREATE INDEX pauses_due ON pauses (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE skips (
    function_id TEXT NOT NULL, key TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (function_id, key)
) WITHOUT ROWID;
CREATE INDEX skips_until ON skips (until);
"""
# Made where they are missing: an engine that does not know of them keeps them all the same.
LATER_INDEXES = """
CREATE INDEX IF NOT EXISTS events_received ON events (received_at);
"""


def lock_store(path: pathlib.Path) -> int:
    """Returns the descriptor of a lock that ends with the process; raises StoreInUse if it is held."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreInUse(f"Another engine has {path} open.") from error
    return descriptor


def connect_store(path: pathlib.Path) -> sqlite3.Connection:
    """Returns a connection that commits to disk, tables made; raises StoreUnusable for a foreign file."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, timeout=5, cached_statements=256)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnusable(f"{path} can't be opened: {error}.") from error
    try:
        _check_owner(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _create_tables(connection)
    except sqlite3.Error as error:
        connection.close()
        raise StoreUnusable(f"{path} can't be used as a store: {error}.") from error
    except StoreUnusable:
        connection.close()
        raise
    return connection


def connect_reader(path: pathlib.Path) -> sqlite3.Connection:
    """Returns a connection that can only read what has been committed."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def _check_owner(connection: sqlite3.Connection, path: pathlib.Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StoreUnusable(f"{path} is the database of another program.")
    if version > VERSION:
        raise StoreUnusable(
            f"{path} was written by a newer version of the engine ({version}, not {VERSION})."
        )


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    for statement in LATER_INDEXES.split(";"):
        connection.execute(statement)
    connection.execute("COMMIT")
