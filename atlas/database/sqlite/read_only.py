"""The SQLite file opened to read, and for nothing else: a gateway may run beside it, and no file is made.

SQLite makes two files beside one that is in WAL mode, also for a reader. Where they are not there no process
has the file open, so it is read as it lies; if that ends meanwhile, what was just read is read again.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database.migrating import newest_version, version_of
from atlas.database.sqlite.store import refusing
from atlas.database.statements import one_moment
from atlas.errors import DatabaseUnusable

Result = TypeVar("Result")
MISSING = "it is not there. Say with ATLAS_DATA_DIR or --data-dir where the gateway keeps its cases."
OLDER = (
    "its tables are of version {found}, and this command reads version {newest}. Start the gateway of this"
    " version once, which brings them up to date, or use the command of the gateway's own version."
)


class ReadOnlyFile:
    """Reads in steps, each of which sees one moment and holds back no writer."""

    def __init__(self, path: Path) -> None:
        """Look at the file; raises DatabaseUnusable, also where its tables are of another version."""
        self.path = path
        if not path.is_file():
            raise DatabaseUnusable(path=path, reason=MISSING)
        found, newest = self._read(version_of), newest_version()
        if found != newest:
            raise DatabaseUnusable(path=path, reason=OLDER.format(found=found or "0", newest=newest))

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which changes nothing, and all of which sees one moment; raises DatabaseUnusable."""

        def run(driver: sqlite3.Connection) -> Result:
            engine = sa.create_engine("sqlite://", creator=lambda: driver, poolclass=sa.StaticPool)
            with engine.connect() as connection, one_moment(connection):
                return work(connection)

        return self._read(run)

    def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with refusing(self.path):
            while (state := self._state()) is not None:
                result = self._run(work, "immutable=1")
                if self._state() == state:
                    return result
            return self._run(work, "mode=ro")

    def _run(self, work: Callable[[sqlite3.Connection], Result], how: str) -> Result:
        address = f"{self.path.absolute().as_uri()}?{how}"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA busy_timeout = 5000")
            return work(connection)

    def _state(self) -> tuple[int, int] | None:
        """Size and time of a file that no process has open; None: one may have it open."""
        if Path(f"{self.path}-wal").exists() or Path(f"{self.path}-journal").exists():
            return None
        seen = self.path.stat()
        return seen.st_size, seen.st_mtime_ns
