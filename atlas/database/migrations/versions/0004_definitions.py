"""Definitions of tools, and a number for each time that a case was judged.

A case whose tool or policy changed is judged again. What was judged, asked, approved and decided before stays
where it is, under the number of its round; only the newest round counts.
"""

import sqlalchemy as sa
from alembic import op

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
    """Make the tables and columns; SQLite has a new key only in a new table."""
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
    for table in (*KEYS, "definitions", "tool_definitions"):
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'the table {table} is append-only'); END"
            )


def _with_rounds(table: str, key: str, added: dict[str, str]) -> None:
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
