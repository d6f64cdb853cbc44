"""A real PgBouncer in transaction mode, from Debian's package, in front of a PostgreSQL server."""

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

SETTINGS = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 3
server_idle_timeout = 5
logfile = {folder}/log
pidfile = {folder}/pid
"""


@contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[int]:
    """One that runs, with fewer connections to the server than a gateway has to it; its port."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        pytest.skip("There is no PgBouncer on this machine: install Debian's package `pgbouncer`.")
    with TemporaryDirectory(prefix="atlas-pgbouncer-") as folder:
        port = kept_port()
        settings = Path(folder, "pgbouncer.ini")
        settings.write_text(
            SETTINGS.format(server=server.port, port=port, folder=folder).replace("* =", f"* = user={USER}")
        )
        Path(folder, "users").write_text("")
        if AS_OTHER:
            for path in (Path(folder), *Path(folder).iterdir()):
                shutil.chown(path, "postgres", "postgres")
        process = subprocess.Popen([*AS_OTHER, program, "-q", str(settings)], cwd="/")
        try:
            end = time.monotonic() + START_SECONDS
            while not _answers(port):
                assert time.monotonic() < end and process.poll() is None, Path(folder, "log").read_text()
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _answers(port: int) -> bool:
    try:
        psycopg.connect(f"postgresql://{USER}@127.0.0.1:{port}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
