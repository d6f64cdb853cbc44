"""The data directory: held by one process, its names on disk, its database looked at before it is used."""

import fcntl
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from atlas.errors import DatabaseUnusable, DataDirectoryInUse

LONGEST_LOOK = 2.0  # seconds for a look at the whole file at start; of a larger one the rest is found later
REMEDY = "Nothing was changed; put a backup of it in its place."
LACKING = (
    "it lacks entries of the ledger that were acknowledged: its -wal file is missing or cut off, or this is"
    " an older copy. Put its files back from where they were, or remove gateway.lock to go on without them."
)
DAMAGED = ("malformed", "not a database")  # how SQLite says that a file is; Python 3.10 has no error codes
DIGITS = 20


def lock_directory(directory: Path) -> int:
    """Hold a directory until the process ends, however it ends; returns the descriptor to close."""
    descriptor = os.open(directory / "gateway.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataDirectoryInUse(path=directory) from None
    return descriptor


def read_acknowledged(lock_file: int) -> int:
    """The number of the newest entry of the ledger that was acknowledged, which the lock's file holds."""
    text = os.pread(lock_file, DIGITS, 0)
    return int(text) if text.isdigit() else 0


def write_acknowledged(lock_file: int, entry: int) -> None:
    """Note the newest entry that is on disk; the note survives the process, if not the power."""
    with suppress(OSError):  # an older note only finds less
        os.pwrite(lock_file, b"%0*d" % (DIGITS, entry), 0)


def examine(path: Path, acknowledged: int) -> None:
    """Look at a database without changing what it holds; raises DatabaseUnusable, or sqlite3.Error."""
    if not (path.exists() and path.stat().st_size):
        if acknowledged or (path.parent / "engine.db").exists():
            raise DatabaseUnusable(path=path, reason=f"it is missing or empty, and was not before. {REMEDY}")
        return
    # A kill while the tables of a file are made for the first time leaves a journal, to be undone first.
    mode = "rw" if Path(f"{path}-journal").exists() else "ro"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as connection:
        damage = _find_damage(connection)
        if damage != "ok":
            raise DatabaseUnusable(path=path, reason=f"it is damaged: {damage}. {REMEDY}")
        if acknowledged and _newest_entry(connection) < acknowledged:
            raise DatabaseUnusable(path=path, reason=LACKING)


def _find_damage(connection: sqlite3.Connection) -> str:
    end = time.monotonic() + LONGEST_LOOK
    connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    try:
        return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]).replace("\n", " ")
    except sqlite3.OperationalError:
        if time.monotonic() > end:
            return "ok"
        raise
    finally:
        connection.set_progress_handler(None, 0)


def _newest_entry(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM ledger").fetchone()[0])


def is_damage(said: str | None) -> bool:
    """Whether an error of SQLite says that a file is damaged."""
    return any(sign in (said or "") for sign in DAMAGED)


def keep_names(directory: Path) -> None:
    """Have the disk keep that a directory and its files are there: SQLite does so for what is in them."""
    for place in (directory, directory.absolute().parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
