"""Seeded cases: the index by which those whose time to decide is over are found."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.partial import only_where

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make an index of the seeded cases that wait."""
    waits = sa.text("claimed_by = 'seeded' AND status = 'PENDING_REVIEW'")
    op.create_index("ix_cases_seeded", "cases", ["expires_at"], **only_where(waits))
