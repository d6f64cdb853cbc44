"""How an outcome reaches its agent: when it was handed over, and what an agent added because a tool asked."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.partial import only_where

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns and the indexes; what ended before is taken as handed over."""
    op.add_column("cases", sa.Column("continuation", sa.Text))
    op.add_column("cases", sa.Column("collected_at", sa.String(27)))
    # No one knows whether it was; what is taken as not handed over would answer the next such call.
    op.execute(
        "UPDATE cases SET collected_at = opened_at "
        "WHERE status NOT IN ('QUEUED', 'PENDING_REVIEW', 'AUTHORIZED', 'EXECUTING')"
    )
    same_call = ["principal", "tool_name", "arguments_sha256", "opened_at"]
    op.create_index("ix_cases_same_call", "cases", same_call)
    op.create_index(
        "ix_cases_uncollected",
        "cases",
        ["principal", "opened_at"],
        **only_where(sa.text("collected_at IS NULL")),
    )
