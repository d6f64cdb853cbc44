"""Cases with their assessment, decision and outcome; the ledger, which refuses changes; welfare records."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.append_only import refuse_changes
from atlas.database.migrations.partial import only_where

revision = "0001"
down_revision = None

OPEN = "status IN ('QUEUED', 'PENDING_REVIEW', 'AUTHORIZED', 'EXECUTING')"


def _of_case() -> sa.Column[str]:
    return sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(20), primary_key=True),
        sa.Column("principal", sa.String(200), nullable=False),
        sa.Column("tool_name", sa.String(200), nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("arguments_sha256", sa.String(64), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("opened_at", sa.String(27), nullable=False),
        sa.Column("expires_at", sa.String(27)),
        sa.Column("claimed_by", sa.String(32)),
        sa.Column("reported_at", sa.String(27)),
    )
    op.create_index(
        "uq_cases_unfinished",
        "cases",
        ["principal", "tool_name", "arguments_sha256"],
        unique=True,
        **only_where(sa.text(OPEN)),
    )
    op.create_index(
        "ix_cases_unreported",
        "cases",
        ["status", "expires_at"],
        **only_where(sa.text("reported_at IS NULL")),
    )
    op.create_table(
        "assessments",
        _of_case(),
        sa.Column("risk_score", sa.Integer, nullable=False),
        sa.Column("classification", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("rationale", sa.Text, nullable=False),
        sa.Column("assessor", sa.String(200), nullable=False),
        sa.Column("threshold", sa.Integer, nullable=False),
        sa.Column("arguments_sha256", sa.String(64), nullable=False),
        sa.Column("assessed_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "decisions",
        _of_case(),
        sa.Column("decision", sa.String(10), nullable=False),
        sa.Column("reviewer", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("arguments_sha256", sa.String(64), nullable=False),
        sa.Column("decided_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "outcomes",
        _of_case(),
        sa.Column("result", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("finished_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("case_id", sa.String(20), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("entry_hash", sa.String(64), nullable=False),
    )
    op.create_index("ix_ledger_case_id", "ledger", ["case_id"])
    op.create_table(
        "beneficiaries",
        sa.Column("beneficiary_id", sa.String(20), primary_key=True),
        sa.Column("record", sa.Text, nullable=False),
    )
    refuse_changes("ledger", "decisions", "assessments", "outcomes")
