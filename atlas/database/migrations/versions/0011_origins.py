"""Which calls belong together, whose tools speak for third parties, and where arguments came from."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("cases", sa.Column("session", sa.String(32)))
    op.add_column(
        "assessments", sa.Column("is_outside", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("assessments", sa.Column("trace", sa.Text))
