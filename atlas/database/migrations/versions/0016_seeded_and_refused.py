"""Indexes by which seeded cases whose time is over are found, and a person's no to the same call."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.partial import only_where

revision = "0016"
down_revision = "0015"

WITHOUT_YES = "(status IN ('REJECTED', 'EXPIRED') OR (status = 'WITHDRAWN' AND expires_at IS NOT NULL))"


def upgrade() -> None:
    """Make two indexes of few cases."""
    waits = sa.text("claimed_by = 'seeded' AND status = 'PENDING_REVIEW'")
    op.create_index("ix_cases_seeded", "cases", ["expires_at"], **only_where(waits))
    same_call = ["principal", "tool_name", "arguments_sha256", "opened_at"]
    op.create_index("ix_cases_without_yes", "cases", same_call, **only_where(sa.text(WITHOUT_YES)))
