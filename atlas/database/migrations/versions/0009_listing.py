"""Lists of cases: the index of each order and filter, and what was said under the key of a decision."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.partial import only_where

revision = "0009"
down_revision = "0008"

WAITING = (
    *("opened_at", "case_id", "expires_at", "frozen_at", "principal", "tool_name", "round_number"),
    *("arguments_sha256", "status"),
)


def upgrade() -> None:
    """Make the indices of lists, and keep more of what was said under the key of a decision."""
    waits = sa.text("status = 'PENDING_REVIEW'")
    op.create_index("ix_cases_waiting", "cases", WAITING, **only_where(waits))
    for column in ("principal", "tool_name"):
        op.create_index(f"ix_cases_{column}_opened_at", "cases", [column, "opened_at", "case_id"])
    op.create_index("ix_decisions_reviewer", "decisions", ["reviewer", "case_id", "round_number"])
    _make_decision_keys()


def _make_decision_keys() -> None:
    """Again, with a column more; no release has written into it yet."""
    op.drop_table("decision_keys")
    op.create_table(
        "decision_keys",
        sa.Column("reviewer", sa.String(200), primary_key=True),
        sa.Column("idempotency_key", sa.String(200), primary_key=True),
        sa.Column("case_id", sa.String(20), nullable=False),
        sa.Column("decision", sa.String(10), nullable=False),
        sa.Column("round_number", sa.Integer, nullable=False),
        sa.Column("decided_at", sa.String(27), nullable=False),
        sa.Column("said_sha256", sa.String(64), nullable=False),
    )
    op.create_index("ix_decision_keys_decided_at", "decision_keys", ["decided_at"])
