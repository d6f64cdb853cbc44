"""Migrations: the version before still works on the tables, or they say that it does not."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from atlas.database import migrating
from atlas.database.migrating import MIGRATIONS, migrate, newest_version
from atlas.database.migrations.compatible import FIRST
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.migrating import bring_up_to_date
from atlas.database.postgresql.migrating import migrate as migrate_server
from atlas.errors import DatabaseUnusable
from tests.support.migrations import described, taken_away, with_migration
from tests.support.postgres import PostgresServer

SINCE_FIRST = sorted(
    file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py") if file.name[:4] > FIRST
)
EXPANDS = [
    'op.create_table("later", sa.Column("later_id", sa.Integer, primary_key=True))',
    'op.add_column("cases", sa.Column("later", sa.Text))',
    'op.add_column("cases", sa.Column("later", sa.Text, nullable=False, server_default="no"))',
    'op.create_index("ix_later", "cases", ["tool_name"])',
    'op.execute("DROP INDEX ix_sessions_last_seen_at")',
]
TAKES_AWAY = [
    ('op.drop_table("secrets")', "the table secrets is gone"),
    ('op.rename_table("secrets", "hidden")', "the table secrets is gone"),
    ('op.drop_column("cases", "held_by")', "cases.held_by is gone"),
    ('op.alter_column("secrets", "made_at", new_column_name="at")', "secrets.made_at is gone"),
    (
        'op.execute("ALTER TABLE secrets ADD COLUMN later TEXT NOT NULL")',
        "secrets.later has to be given",
    ),
    ('op.create_index("ix_later", "cases", ["tool_name"], unique=True)', "cases has a new unique index"),
    (
        "op.execute(\"CREATE TRIGGER later BEFORE INSERT ON secrets BEGIN SELECT RAISE(ABORT, 'no'); END\")",
        "secrets has a new trigger",
    ),
    (
        "with op.batch_alter_table('processes') as table:\n"
        "        table.alter_column('ended_at', existing_type=sa.String(27), nullable=False)",
        "processes.ended_at has to be given",
    ),
    (
        "with op.batch_alter_table('secrets') as table:\n"
        "        table.create_check_constraint('short', 'length(name) < 9')",
        "secrets has a new rule",
    ),
]


@pytest.mark.parametrize(
    "version", SINCE_FIRST or [pytest.param("", marks=pytest.mark.skip("there is none"))]
)
def test_each_migration_leaves_the_version_before_it_at_work_or_says_that_it_does_not(
    tmp_path: Path, version: str
) -> None:
    """Where this fails: only add, or call works_from() with the first version that does without it."""
    taken, oldest = what_it_takes(tmp_path / "atlas.db", version)
    assert not taken or oldest >= version, f"{version} breaks the gateways before it: {taken}"


@pytest.mark.parametrize("statement", EXPANDS)
def test_what_only_adds_is_no_break(tmp_path: Path, statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above lets it pass."""
    migrations = with_migration(tmp_path, statement)
    monkeypatch.setattr(migrating, "MIGRATIONS", migrations)
    assert what_it_takes(tmp_path / "atlas.db", newest_version()) == ([], FIRST)


@pytest.mark.parametrize(("statement", "said"), TAKES_AWAY)
def test_what_an_older_gateway_would_fail_on_is_found(
    tmp_path: Path, statement: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above fails on each of them, until the migration says it."""
    monkeypatch.setattr(migrating, "MIGRATIONS", with_migration(tmp_path, statement))
    taken, oldest = what_it_takes(tmp_path / "atlas.db", newest_version())
    assert said in taken and oldest == FIRST


def what_it_takes(path: Path, version: str) -> tuple[list[str], str]:
    """What a migration takes from the gateways before it, and the oldest version that it says can go on."""
    migrate(path, f"{int(version) - 1:04}")
    before = described(path)
    migrate(path, version)
    after = described(path)
    with closing(sqlite3.connect(path)) as connection:
        (oldest,) = connection.execute("SELECT oldest_version FROM alembic_version").fetchone()
    return list(taken_away(before, after)), str(oldest)


@pytest.mark.parametrize(
    ("database", "statement", "is_refused"),
    [
        ("adds", 'op.add_column("cases", sa.Column("later", sa.Text))', False),
        ("takes", 'op.drop_column("cases", "held_by")\n    works_from("{version}")', True),
    ],
)
def test_a_gateway_goes_on_with_newer_tables_only_if_they_say_that_it_can(
    tmp_path: Path,
    server: PostgresServer,
    database: str,
    statement: str,
    is_refused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A newer gateway has migrated a PostgreSQL database; this one starts on it, or says why not."""
    url = server.new_database(database)
    engine = Address(url).engine()
    with monkeypatch.context() as newer:
        said = statement.format(version=f"{int(newest_version()) + 1:04}")
        newer.setattr(migrating, "MIGRATIONS", with_migration(tmp_path, said))
        migrate_server(engine, url)
    if is_refused:
        with pytest.raises(DatabaseUnusable, match="of a newer one, with which it cannot work"):
            bring_up_to_date(engine, url)
    else:
        bring_up_to_date(engine, url)
    with engine.connect() as connection:
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    engine.dispose()
    assert version == f"{int(newest_version()) + 1:04}"
