"""What a migration does to tables that older gateways use, and copies of the migrations with one more."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from atlas.database.migrating import MIGRATIONS, newest_version

MIGRATION = '''"""One more."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.compatible import works_from

revision = "{version}"
down_revision = "{before}"


def upgrade() -> None:
    """Change the tables."""
    {statement}
    _ = sa, works_from
'''


def with_migration(directory: Path, statement: str, *, migrations: Path | None = None) -> Path:
    """The migrations with one more; without `migrations` in a copy of ours."""
    folder = migrations or Path(shutil.copytree(MIGRATIONS, directory / "migrations"))
    before = newest_version()
    version = f"{int(before) + 1:04}"
    text = MIGRATION.format(version=version, before=before, statement=statement)
    (folder / "versions" / f"{version}_one_more.py").write_text(text)
    return folder


@dataclass(frozen=True)
class Table:
    """What a gateway has to know of a table to read it and write into it."""

    columns: dict[str, bool]  # by name: whether a new row has to give it
    unique: frozenset[tuple[str, ...]]
    rules: frozenset[str]
    triggers: frozenset[str]


def described(path: Path) -> dict[str, Table]:
    """The tables of a SQLite file."""
    engine = sa.create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            looked = sa.inspect(connection)
            names = [name for name in looked.get_table_names() if name != "alembic_version"]
            return {name: _table(connection, looked, name) for name in names}
    finally:
        engine.dispose()


def _table(connection: sa.Connection, looked: sa.Inspector, name: str) -> Table:
    columns = {
        column["name"]: not column["nullable"] and column["default"] is None
        for column in looked.get_columns(name)
    }
    unique = [index["column_names"] for index in looked.get_indexes(name) if index["unique"]]
    unique += [constraint["column_names"] for constraint in looked.get_unique_constraints(name)]
    rules = [str(rule["sqltext"]) for rule in looked.get_check_constraints(name)]
    rules += [str(key["constrained_columns"]) for key in looked.get_foreign_keys(name)]
    triggers = connection.execute(
        sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :name"), {"name": name}
    ).scalars()
    return Table(columns, frozenset(map(tuple, unique)), frozenset(rules), frozenset(triggers))


def taken_away(before: dict[str, Table], after: dict[str, Table]) -> Iterator[str]:
    """What a gateway that knows the tables before would fail on."""
    for name, table in before.items():
        if name not in after:
            yield f"the table {name} is gone"
            continue
        new = after[name]
        yield from (f"{name}.{column} is gone" for column in table.columns if column not in new.columns)
        is_required = {column for column, is_given in new.columns.items() if is_given}
        was_required = {column for column, is_given in table.columns.items() if is_given}
        yield from (f"{name}.{column} has to be given" for column in sorted(is_required - was_required))
        if new.unique - table.unique:
            yield f"{name} has a new unique index"
        if new.rules - table.rules:
            yield f"{name} has a new rule"
        if new.triggers - table.triggers:
            yield f"{name} has a new trigger"
