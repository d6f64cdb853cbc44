"""Whom an OpenID provider or a proxy means by a name."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "identities",
        sa.Column("subject_sha256", sa.String(64), primary_key=True),
        sa.Column("person", sa.String(200), nullable=False, unique=True),
        sa.Column("way", sa.String(20), nullable=False),
        sa.Column("first_seen_at", sa.String(27), nullable=False),
    )
