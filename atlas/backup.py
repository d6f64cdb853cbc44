"""`python -m atlas.backup >backup.tar`: a copy of the data directory, made while the gateway runs.

It goes to standard output, so that it leaves a container the same way:
`docker exec atlas-gateway python -m atlas.backup >backup.tar`.
"""

import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import IO

from atlas.errors import LedgerBroken
from atlas.ledger import read, verify
from atlas.settings import Settings

DATABASES = ("atlas.db", "engine.db")


def write_backup(data: Path, output: IO[bytes]) -> int:
    """Write a tar of the databases and of the engine's keys; returns the number of entries in the ledger.

    Raises LedgerBroken, sqlite3.Error and OSError; what was written then is no backup.
    """
    with tempfile.TemporaryDirectory(dir=data, prefix=".backup-") as folder:
        for name in DATABASES:
            if (data / name).exists():
                _copy(data / name, Path(folder, name))
        entries = verify(read(Path(folder, "atlas.db")))
        with tarfile.open(fileobj=output, mode="w|") as tar:
            for path in (*sorted(Path(folder).iterdir()), data / "engine.keys", data / "push.key"):
                if path.exists():
                    tar.add(path, arcname=path.name, filter=_for_its_owner)
    return entries


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def _for_its_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = 0o600
    return member


def main() -> int:
    """Write the backup of the gateway's data directory to standard output; returns the exit status."""
    if sys.stdout.isatty():
        sys.stderr.write("A backup is a file: python -m atlas.backup >backup.tar\n")
        return 2
    data = Settings.read().atlas_data_dir
    try:
        entries = write_backup(data, sys.stdout.buffer)
    except (LedgerBroken, sqlite3.Error, OSError) as error:
        sys.stderr.write(f"There is no backup of {data}: {error}\n")
        return 1
    sys.stderr.write(f"A backup of {data}; the ledger in it verifies, with {entries} entries.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
