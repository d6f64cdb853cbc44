"""Sessions of MCP clients, which are taken up again after a restart."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table; its rows come and go, so nothing forbids that."""
    op.create_table(
        "sessions",
        sa.Column("session_sha256", sa.String(64), primary_key=True),
        sa.Column("principal", sa.String(200), nullable=False),
        sa.Column("protocol_version", sa.String(20), nullable=False),
        sa.Column("client_info", sa.Text, nullable=False),
        sa.Column("capabilities", sa.Text, nullable=False),
        sa.Column("opened_at", sa.String(27), nullable=False),
        sa.Column("last_seen_at", sa.String(27), nullable=False),
    )
    op.create_index("ix_sessions_of_agent", "sessions", ["principal", "last_seen_at"])
    op.create_index("ix_sessions_last_seen_at", "sessions", ["last_seen_at"])
