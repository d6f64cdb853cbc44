"""The tables of the store, and opening its file: ours, of this version, and of no other engine."""

import contextlib
import os
import pathlib
import sqlite3

from atlas.database.sqlite.files import find_damage, hold_lock, keep_commits, keep_names
from atlas.engine.errors import StoreInUse, StoreUnusable

APPLICATION_ID = 0x41544C45  # "ATLE" in the header of the file says whose it is
VERSION = 1

_BUSY = 2  # seconds that another process may have the file locked; senders of events wait about five

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
# Made where they are missing: an engine that does not know of them keeps the index all the same.
# The commits are counted: what was acknowledged must be among them when the file is opened again.
LATER = """
CREATE INDEX IF NOT EXISTS events_received ON events (received_at);
CREATE TABLE IF NOT EXISTS commits (number INTEGER NOT NULL);
"""


def lock_store(path: pathlib.Path) -> int:
    """The descriptor of a lock that ends with the process; raises StoreInUse if it is held."""
    try:
        return hold_lock(path.with_name(path.name + ".lock"))
    except BlockingIOError as error:
        raise StoreInUse(f"Another engine has {path} open.") from error
    except OSError as error:
        raise StoreUnusable(f"{path} can't be used at the moment: {error}.") from error


def connect_store(path: pathlib.Path, *, acknowledged: int = 0) -> sqlite3.Connection:
    """A connection that commits to disk, after the file was made, or looked at and found whole.

    Raises StoreUnusable, and leaves the file as it is, for one that is not ours, damaged, or without some of
    the commits that were acknowledged.
    """
    try:
        if path.exists():
            _examine(path, acknowledged)
        else:
            _create(path, acknowledged)
        connection = sqlite3.connect(  # its writer has a thread of its own
            path, isolation_level=None, timeout=_BUSY, cached_statements=256, check_same_thread=False
        )
        keep_commits(connection)
        for statement in LATER.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO commits SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM commits)")
    except (OSError, sqlite3.OperationalError) as error:  # which may be over when it is tried again
        raise StoreUnusable(f"{path} can't be used at the moment: {error}.") from error
    except sqlite3.Error as error:
        raise StoreUnusable(f"{path} can't be used as a store: {error}. {_remedy(path)}") from error
    return connection


def connect_reader(path: pathlib.Path, *, mode: str = "ro") -> sqlite3.Connection:
    """A connection that can only read what has been committed."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=_BUSY
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def touch_store(connection: sqlite3.Connection) -> None:
    """Write what is there already, to find out whether anything can be written."""
    connection.execute(f"PRAGMA user_version = {VERSION}")


def count_commit(connection: sqlite3.Connection) -> int:
    """Number the commit that is under way."""
    connection.execute("UPDATE commits SET number = number + 1")
    return _last_commit(connection)


def _create(path: pathlib.Path, acknowledged: int) -> None:
    """Make the file under another name first, so that a file of that name is always whole."""
    if acknowledged or path.with_name(path.name + "-wal").exists():
        raise StoreUnusable(f"{path} is missing, and what belongs to it is still there. {_remedy(path)}")
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = MEMORY")  # of a journal on disk a kill could leave a part
        connection.executescript(f"BEGIN; {TABLES} {LATER} COMMIT")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    temporary.rename(path)
    keep_names(path.parent)


def _examine(path: pathlib.Path, acknowledged: int) -> None:
    """Look at the file without a chance to change it, which opening it for writing could."""
    if path.stat().st_size == 0:
        raise StoreUnusable(f"{path} is empty, and was not when it was made. {_remedy(path)}")
    # A kill while the file comes to keep its changes in a -wal file leaves a journal, to be undone first.
    mode = "rw" if path.with_name(f"{path.name}-journal").exists() else "ro"
    with contextlib.closing(connect_reader(path, mode=mode)) as reader:
        _check_owner(reader, path)
        damage = find_damage(reader)
        if damage != "ok":
            raise StoreUnusable(f"{path} is damaged: {damage}. {_remedy(path)}")
        if acknowledged and (not _is_counted(reader) or _last_commit(reader) < acknowledged):
            raise StoreUnusable(
                f"{path} lacks changes that were acknowledged: its -wal file is missing or cut off, or this"
                f" is an older copy. {_remedy(path)}"
            )


def _check_owner(connection: sqlite3.Connection, path: pathlib.Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if owner != APPLICATION_ID:
        raise StoreUnusable(f"{path} is the database of another program.")
    if version > VERSION:
        raise StoreUnusable(
            f"{path} was written by a newer version of the engine ({version}, not {VERSION})."
        )


def _is_counted(reader: sqlite3.Connection) -> bool:
    """Whether this is not a copy from the time before commits were counted."""
    return bool(reader.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'commits'").fetchone()[0])


def _last_commit(reader: sqlite3.Connection) -> int:
    return int(reader.execute("SELECT coalesce(max(number), 0) FROM commits").fetchone()[0])


def _remedy(path: pathlib.Path) -> str:
    return f"Put its files back from where they were, or move {path.name}* away to begin with an empty one."
