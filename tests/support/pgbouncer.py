"""A real PgBouncer, from Debian's package, that pools by transaction before a server of the tests."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.support.ports import kept_port
from tests.support.postgres import AS_OTHER, START_SECONDS, USER, PostgresServer

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
ignore_startup_parameters = extra_float_digits,options
"""


@contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[int]:
    """Its port, while it runs."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("There is no PgBouncer on this machine: install Debian's package `pgbouncer`.")
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(prefix="atlas-pgbouncer-", dir=memory if memory.is_dir() else None) as name:
        folder, port = Path(name), kept_port()
        values = {"server_port": server.port, "port": port, "folder": folder, "user": USER}
        (folder / "configuration").write_text(CONFIGURATION.format(**values))
        (folder / "users").write_text(f'"{USER}" ""\n')
        if AS_OTHER:
            shutil.chown(folder, "postgres", "postgres")
        command = [*AS_OTHER, program, str(folder / "configuration")]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(f"postgresql://{USER}@127.0.0.1:{port}/postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
