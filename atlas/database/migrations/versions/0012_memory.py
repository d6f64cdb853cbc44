"""What an agent read last, how long its session is, and what it read beside its calls, each by an index."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.partial import only_where

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_cases_principal_reported_at", "cases", ["principal", "reported_at"])
    op.create_index("ix_cases_session", "cases", ["principal", "session", "opened_at"])
    op.create_index(
        "ix_ledger_readings", "ledger", ["actor", "seq"], **only_where(sa.text("action = 'admit.read'"))
    )
