"""A real PostgreSQL server on loopback, from Debian's package, without a password, in a folder of its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.support.ports import kept_port

START_SECONDS = 120
USER = "atlas"
# The server refuses to run as root; Debian's package makes this user.
AS_OTHER = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()


def programs() -> Path | None:
    """The folder of initdb and postgres; None: there is no server on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    there = shutil.which("postgres")
    return Path(there).resolve().parent if there else None


@dataclass
class PostgresServer:
    """A server that runs, can be killed, and comes back with what it kept."""

    directory: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Make its files."""
        here = programs()
        assert here is not None, "There is no PostgreSQL server: install Debian's package `postgresql`."
        if AS_OTHER:
            shutil.chown(self.directory, "postgres", "postgres")
        options = ["-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        command = [*AS_OTHER, str(here / "initdb"), "-D", str(self.directory / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, timeout=START_SECONDS, cwd="/")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        here = programs()
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "''"}
        settings = [
            part for name, value in options.items() for part in ("-c", f"{name}={value}".replace("''", ""))
        ]
        command = [*AS_OTHER, str(here) + "/postgres", "-D", str(self.directory / "data"), *settings]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < end and self.process.poll() is None, (
                self.directory / "log"
            ).read_text()
            time.sleep(0.05)

    def stop(self, *, immediately: bool = True) -> None:
        """Stop it, as a crash does, or after what runs has ended."""
        if self.process is not None:
            self.process.send_signal(
                3 if immediately else 2
            )  # SIGQUIT and SIGINT, in PostgreSQL's own meaning
            self.process.wait(START_SECONDS)
            self.process = None

    def new_database(self, name: str) -> str:
        """Make an empty database, and return its address."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server of its own, which ends with the block."""
    if programs() is None:
        pytest.skip("There is no PostgreSQL server on this machine: install Debian's package `postgresql`.")
    # Not in a folder of pytest: they are closed to the user as whom the server runs.
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(prefix="atlas-postgres-", dir=memory if memory.is_dir() else None) as folder:
        server = PostgresServer(Path(folder), kept_port())
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.stop()
