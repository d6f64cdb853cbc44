"""`python -m atlas.database migrate`: the tables are there before a gateway is."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from atlas.configure.reach import reach
from atlas.database.migrating import newest_version
from atlas.settings import Settings
from tests.support.postgres import PostgresServer

ROOT = Path(__file__).parents[2]


def migrate(tmp_path: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Type the command."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ATLAS_DATABASE_URL": url}
    command = [sys.executable, "-m", "atlas.database", "migrate"]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)


def test_an_empty_database_gets_the_tables_and_a_second_run_changes_nothing(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Several gateways then find them; the password is told to no one."""
    url = server.new_database("migrated")
    for _ in range(2):
        done = migrate(tmp_path, url.replace("atlas@", "atlas:not-asked-for@"))
        assert (done.returncode, done.stderr) == (0, "")
        assert f"have version {newest_version()}." in done.stdout and "not-asked-for" not in done.stdout
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (newest_version(),)
        ]
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_migrated_is_told_in_a_sentence(server: PostgresServer, tmp_path: Path) -> None:
    """A database that is not there, and one of a newer gateway."""
    assert "does not exist" in migrate(tmp_path, server.url("missing")).stderr
    url = server.new_database("newer")
    migrate(tmp_path, url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999', oldest_version = '9999'")
    done = migrate(tmp_path, url)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert "Start the newer gateway." in done.stderr


@pytest.mark.parametrize("version", [None, "0014", "9999"])
def test_setup_takes_a_database_without_tables_and_with_older_ones(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    """A gateway makes the tables and renews them when it starts; only those of a newer one keep it away."""
    url = server.new_database(f"reached_{version or 'empty'}")
    if version is not None:
        migrate(tmp_path, url)
        with psycopg.connect(url, autocommit=True) as connection:
            values = (version, version)
            connection.execute("UPDATE alembic_version SET version_num = %s, oldest_version = %s", values)
    monkeypatch.chdir(tmp_path)
    settings = Settings(atlas_database_url=url)
    if version == "9999":
        with pytest.raises(SystemExit, match="9999"):
            reach(settings, port=0)
    else:
        reach(settings, port=0)
