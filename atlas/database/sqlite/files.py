"""The files of SQLite, the gateway's and the engine's: held by one process, looked at before they are used.

The file of the lock also holds a number of what was acknowledged, so that a file that lacks it is noticed.
"""

import fcntl
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

LONGEST_LOOK = 2.0  # seconds for a look at the whole file at start; of a larger one the rest is found later
DAMAGED = ("malformed", "not a database")  # how SQLite says that a file is; Python 3.10 has no error codes
DIGITS = 20


def hold_lock(path: Path) -> int:
    """Hold a lock until the process ends, however it ends; returns its descriptor.

    Raises BlockingIOError while another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_acknowledged(lock: int) -> int:
    """The number that was noted last, or 0."""
    text = os.pread(lock, DIGITS, 0)
    return int(text) if text.isdigit() else 0


def write_acknowledged(lock: int, number: int) -> None:
    """Note the number of what is on disk; the note survives the process, if not the power."""
    with suppress(OSError):  # an older note only finds less
        os.pwrite(lock, b"%0*d" % (DIGITS, number), 0)


def keep_commits(connection: sqlite3.Connection) -> None:
    """Have each commit of a connection on disk when it returns, also if the power fails then."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # in WAL mode NORMAL may forget the last commits


def find_damage(connection: sqlite3.Connection) -> str:
    """What SQLite finds wrong with a file; `ok` also where looking at all of it would take too long."""
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


def is_damage(said: str | None) -> bool:
    """Whether an error of SQLite says that a file is damaged."""
    return any(sign in (said or "") for sign in DAMAGED)


def keep_names(directory: Path) -> None:
    """Have the disk keep that the files of a directory are there: SQLite does so for what is in them."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
