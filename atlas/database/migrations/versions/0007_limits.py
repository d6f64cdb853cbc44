"""How many calls each agent has made of late."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.partial import only_where

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table, one row for each agent and one for all, and the index that counts what waits."""
    op.create_table(
        "call_counts",
        sa.Column("principal", sa.String(200), primary_key=True),
        sa.Column("began_at", sa.String(27), nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("refused_at", sa.String(27)),
        sa.Column("refused", sa.Integer, nullable=False),
    )
    undecided = sa.text("status IN ('QUEUED', 'PENDING_REVIEW')")
    op.create_index("ix_cases_undecided", "cases", ["principal"], **only_where(undecided))
