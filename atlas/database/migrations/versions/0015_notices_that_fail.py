"""Notices: since when a receiver does not take one, and what a message in a chat was rewritten for."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"

OF_POSTGRESQL = postgresql.TEXT(collation="C")  # as 0014 made all texts there


def upgrade() -> None:
    """Add two columns that may be empty."""
    for name, length in (("failing_since", 27), ("shown", 40)):
        kind = sa.String(length).with_variant(OF_POSTGRESQL, "postgresql")
        op.add_column("deliveries", sa.Column(name, kind))
