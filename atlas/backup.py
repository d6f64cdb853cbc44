"""`python -m atlas.backup >backup.tar`: a copy of cases, ledger, people, runs and keys, made while it runs.

The tokens of servers behind the gateway (`upstream-tokens`) are not in it: a person signs in again. Cases
that are in PostgreSQL are in it as a SQLite file. It goes to standard output, so that it leaves a container
the same way: `docker exec atlas-gateway python -m atlas.backup >backup.tar`.
"""

import argparse
import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import IO

from atlas.database.beside import NO_GATEWAY
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.errors import AtlasError
from atlas.ledger import read, verify
from atlas.settings import Settings

DATABASES = ("atlas.db", "engine.db")
KEYS = ("engine.keys", "push.key")


def write_backup(location: Location, output: IO[bytes]) -> int:
    """Write a tar of the databases and of the keys; returns the number of entries in the ledger.

    Raises AtlasError, sqlite3.Error and OSError; what was written then is no backup.
    """
    data = location.directory
    with tempfile.TemporaryDirectory(dir=data, prefix=".backup-") as folder:
        # The cases first: where the engine knows a case that the store does not, nothing is done.
        beside(location).back_up(Path(folder, "atlas.db"))
        if (data / "engine.db").exists():
            _copy(data / "engine.db", Path(folder, "engine.db"))
        entries = verify(read(Path(folder)))
        with tarfile.open(fileobj=output, mode="w|") as tar:
            for path in (*(Path(folder, name) for name in DATABASES), *(data / name for name in KEYS)):
                if path.exists():
                    tar.add(path, arcname=path.name, filter=_for_its_owner)
    return entries


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def _for_its_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = 0o600
    return member


def _elsewhere(location: Location) -> list[str]:
    """Where cases are that are not in the data directory."""
    return [] if location.url is None else [beside(location).place]


def main(arguments: list[str] | None = None) -> int:
    """Write the backup of what the gateway keeps to standard output; returns the exit status."""
    argparse.ArgumentParser(prog="python -m atlas.backup", description=__doc__).parse_args(arguments)
    if sys.stdout.isatty():
        sys.stderr.write("A backup is a file: python -m atlas.backup >backup.tar\n")
        return 2
    location = Location.of(Settings.read())
    if not location.directory.is_dir():
        sys.stderr.write(f"There is no backup: {NO_GATEWAY.format(place=location.directory)}\n")
        return 1
    place = " and ".join([str(location.directory), *_elsewhere(location)])
    try:
        entries = write_backup(location, sys.stdout.buffer)
    except (AtlasError, sqlite3.Error, OSError) as error:
        sys.stderr.write(f"There is no backup of {place}: {error}\n")
        return 1
    sys.stderr.write(f"A backup of {place}; the ledger in it verifies, with {entries} entries.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
