"""What operators watch: when the ledger was verified, and under which span a call came in."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ledger_checks",
        sa.Column("check_id", sa.Integer, primary_key=True),
        sa.Column("began_at", sa.String(27), nullable=False),
        sa.Column("ended_at", sa.String(27), nullable=False),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("entry_hash", sa.String(64), nullable=False),
        sa.Column("problem", sa.Text),
    )
    op.create_table(
        "case_spans",
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
        sa.Column("traceparent", sa.String(55), nullable=False),
    )
