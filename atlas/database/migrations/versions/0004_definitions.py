"""Definitions of tools, and a number for each time that a case was judged.

A case whose tool or policy changed is judged again. What was judged, asked, approved and decided before stays
where it is, under the number of its round; only the newest round counts.
"""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.append_only import refuse_changes

revision = "0004"
down_revision = "0003"

KEYS = {
    "assessments": "case_id, round_number",
    "decisions": "case_id, round_number",
    "inquiries": "case_id, round_number",
    "approvals": "case_id, round_number, reviewer",
}
ADDED = {
    "assessments": {"definition_sha256": "VARCHAR(64)", "reopened_because": "TEXT"},
    "inquiries": {"definition_sha256": "VARCHAR(64)"},
}


def upgrade() -> None:
    """Make the tables and columns."""
    op.add_column("cases", sa.Column("definition_sha256", sa.String(64)))
    op.add_column("cases", sa.Column("round_number", sa.Integer, nullable=False, server_default=sa.text("1")))
    for table, key in KEYS.items():
        _with_rounds(table, key, ADDED.get(table, {}))
    op.create_table(
        "definitions",
        sa.Column("definition_sha256", sa.String(64), primary_key=True),
        sa.Column("definition", sa.Text, nullable=False),
    )
    op.create_table(
        "tool_definitions",
        sa.Column("tool_name", sa.String(200), primary_key=True),
        sa.Column("policy_sha256", sa.String(64), primary_key=True),
        sa.Column("definition_sha256", sa.String(64), nullable=False),
        sa.Column("first_seen_at", sa.String(27), nullable=False),
    )
    refuse_changes(*(() if _adds_keys() else KEYS), "definitions", "tool_definitions")


def _adds_keys() -> bool:
    """Whether a table gets another key where it is; SQLite has a new key only in a new table."""
    return op.get_bind().dialect.name != "sqlite"


def _with_rounds(table: str, key: str, added: dict[str, str]) -> None:
    if _adds_keys():
        _add_rounds(table, key, added)
        return
    rows = op.get_bind().execute(sa.text(f"PRAGMA table_info({table})")).mappings().all()
    columns = [row["name"] for row in rows]
    described = [f"{row['name']} {row['type']}{' NOT NULL' if row['notnull'] else ''}" for row in rows]
    described += ["round_number INTEGER NOT NULL", *(f"{name} {kind}" for name, kind in added.items())]
    op.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    op.execute(
        f"CREATE TABLE {table} ({', '.join(described)}, PRIMARY KEY ({key}), "
        "FOREIGN KEY(case_id) REFERENCES cases (case_id))"
    )
    names = ", ".join(columns)
    op.execute(f"INSERT INTO {table} ({names}, round_number) SELECT {names}, 1 FROM old_{table}")  # noqa: S608
    op.execute(f"DROP TABLE old_{table}")  # with its triggers, which forbid changes and not this


def _add_rounds(table: str, key: str, added: dict[str, str]) -> None:
    """The same where a store began with PostgreSQL: its tables are empty."""
    columns = {"round_number": "INTEGER NOT NULL"} | added
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT pk_{table}")
    for name, kind in columns.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({key})")
