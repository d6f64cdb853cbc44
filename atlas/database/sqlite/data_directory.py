"""The data directory: held by one process, its database looked at before it is used."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from atlas.database.sqlite.files import find_damage, hold_lock
from atlas.errors import DatabaseUnusable, DataDirectoryInUse, DataDirectoryUnusable

PROCESS = "gateway.process"  # where several processes share a store, the one that held the directory last
REMEDY = "Nothing was changed; put a backup of it in its place."
LACKING = (
    "it lacks entries of the ledger that were acknowledged: its -wal file is missing or cut off, or this is"
    " an older copy. Put its files back from where they were, or remove gateway.lock to go on without them."
)


def make_directory(directory: Path) -> None:
    """Make a directory for its owner alone, unless it is there; raises DataDirectoryUnusable."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DataDirectoryUnusable(path=directory, reason=f"{error.strerror} when it was made") from error
    require_writable(directory)


def require_writable(directory: Path) -> None:
    """Raise DataDirectoryUnusable where this process cannot write a directory, or a file in it."""
    if not directory.is_dir():
        raise DataDirectoryUnusable(path=directory, reason="it is no directory")
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise DataDirectoryUnusable(path=directory, reason=_not_writable("it"))
    for file in directory.iterdir():
        # Asked last whether it is a file: a command that read the database takes its -wal away when it ends.
        if not os.access(file, os.R_OK | os.W_OK) and file.is_file():
            raise DataDirectoryUnusable(path=directory, reason=_not_writable(file.name))


def _not_writable(what: str) -> str:
    return f"{what} cannot be read and written by user {os.geteuid()} (group {os.getegid()})"


def lock_directory(directory: Path) -> int:
    """Hold a directory until the process ends, however it ends; returns the descriptor to close."""
    try:
        return hold_lock(directory / "gateway.lock")
    except BlockingIOError:
        raise DataDirectoryInUse(path=directory) from None


def former_process(directory: Path) -> str | None:
    """The process that held a directory last, as the store knows it; the caller holds it now."""
    with suppress(OSError):
        return (directory / PROCESS).read_text().strip() or None
    return None


def note_process(directory: Path, process_id: str) -> None:
    """Note which process holds a directory."""
    (directory / PROCESS).write_text(process_id)


def examine(path: Path, acknowledged: int) -> None:
    """Look at a database without changing what it holds; raises DatabaseUnusable, or sqlite3.Error."""
    if not (path.exists() and path.stat().st_size):
        if acknowledged or (path.parent / "engine.db").exists():
            raise DatabaseUnusable(path=path, reason=f"it is missing or empty, and was not before. {REMEDY}")
        return
    # A kill while the tables of a file are made for the first time leaves a journal, to be undone first.
    mode = "rw" if Path(f"{path}-journal").exists() else "ro"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as connection:
        damage = find_damage(connection)
        if damage != "ok":
            raise DatabaseUnusable(path=path, reason=f"it is damaged: {damage}. {REMEDY}")
        if acknowledged and newest_entry(connection) < acknowledged:
            raise DatabaseUnusable(path=path, reason=LACKING)


def newest_entry(connection: sqlite3.Connection) -> int:
    """The number of the newest entry of the ledger, which gateway.lock holds of what was acknowledged."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM ledger").fetchone()[0])
