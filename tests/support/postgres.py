"""A real PostgreSQL server on loopback, from Debian's package, without a password, in a folder of its own.

Tests share one, which the first of them starts, and take a database each. A test that stops its server has
one of its own.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import psycopg
import pytest

from tests.support.ports import kept_port

START_SECONDS = 120
USER = "atlas"
# The server refuses to run as root; Debian's package makes this user.
AS_OTHER = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()
MISSING = "There is no PostgreSQL server on this machine: install Debian's package `postgresql`."
# Many gateways at once, each with a few connections. Databases live for seconds, so no one tidies them up.
MANY = ("-c", "max_connections=500", "-c", "autovacuum=off", "-c", "shared_buffers=64MB")
SERVER = "ATLAS_TEST_DATABASE_URL"  # a server that runs already, and on which databases may be made
RUN = "ATLAS_TEST_RUN"  # the folder that the processes of one run of pytest share


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
        assert here is not None, MISSING
        if AS_OTHER:
            shutil.chown(self.directory, "postgres", "postgres")
        options = ["-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        command = [*AS_OTHER, str(here / "initdb"), "-D", str(self.directory / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, timeout=START_SECONDS, cwd="/")

    def start(self, *more: str) -> None:
        """Start it, with more options, and wait until it answers."""
        here = programs()
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "''"}
        settings = [
            part for name, value in options.items() for part in ("-c", f"{name}={value}".replace("''", ""))
        ]
        command = [*AS_OTHER, str(here) + "/postgres", "-D", str(self.directory / "data"), *settings, *more]
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

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Crash it; at the end of the block it is back."""
        await asyncio.to_thread(self.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(self.start)

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
def postgres_server(*more: str) -> Iterator[PostgresServer]:
    """A server of its own, with more options, which ends with the block."""
    demand_server()
    # Not in a folder of pytest: they are closed to the user as whom the server runs.
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(prefix="atlas-postgres-", dir=memory if memory.is_dir() else None) as folder:
        server = PostgresServer(Path(folder), kept_port())
        server.make()
        try:
            server.start(*more)
            yield server
        finally:
            server.stop()


def demand_server() -> None:
    """Skip the test where no server can be started; CI has one, so there it fails."""
    if programs() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)


@contextmanager
def shared_run() -> Iterator[Path]:
    """The folder of a run of pytest; what was started for its processes ends when this process does."""
    folder = Path(mkdtemp(prefix="atlas-run-"))
    os.environ[RUN] = str(folder)
    with (folder / "alive").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            if not (folder / "address").exists():  # else who keeps the server clears up
                shutil.rmtree(folder, ignore_errors=True)


@cache
def shared_server() -> str:
    """The address of the server that the tests of a run share; the first who asks starts it."""
    if given := os.environ.get(SERVER):
        return given
    demand_server()
    folder = Path(os.environ[RUN])
    address = folder / "address"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            _keep_server(folder)
    return address.read_text()


def _keep_server(folder: Path) -> None:
    """Start a process that keeps the server, and outlives this one until the run has ended."""
    root = Path(__file__).parents[2]
    with (folder / "log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.support.postgres", str(folder)],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests
        )
    end = time.monotonic() + START_SECONDS
    while not (folder / "address").exists():
        assert time.monotonic() < end and keeper.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)


def keep(folder: Path) -> None:
    """Run a server, note its address, and stop it when the run has ended, also by a kill."""
    with postgres_server(*MANY) as server:
        written = folder / "address.new"
        written.write_text(server.url())
        written.rename(folder / "address")
        with (folder / "alive").open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
