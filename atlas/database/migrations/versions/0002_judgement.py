"""What a call was judged by: the agent's claims, questions to models, rulings, scores, single approvals."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.append_only import refuse_changes

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and tables."""
    for name in ("intent", "user_request"):
        op.add_column("cases", sa.Column(name, sa.Text))
    op.add_column("assessments", sa.Column("ruling", sa.Text))
    op.add_column("assessments", sa.Column("model_score", sa.Integer))
    for name in ("model", "prompt_version"):
        op.add_column("assessments", sa.Column(name, sa.String(200)))
    op.create_table(
        "inquiries",
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
        sa.Column("assessor", sa.String(200), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("asked_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
        sa.Column("reviewer", sa.String(200), primary_key=True),
        sa.Column("reason", sa.Text),
        sa.Column("arguments_sha256", sa.String(64), nullable=False),
        sa.Column("decided_at", sa.String(27), nullable=False),
    )
    refuse_changes("inquiries", "approvals")
