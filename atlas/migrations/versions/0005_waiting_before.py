"""Which calls of the same agent and tool waited for a person when a call came."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column, empty for the calls that are there."""
    op.add_column("cases", sa.Column("waiting_before", sa.Text))
