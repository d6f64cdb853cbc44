"""The table of stops: what is stopped, who said so and why, and who lifted it."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata, only_where

stops = sa.Table(
    "stops",
    metadata,
    sa.Column("stop_id", sa.String(20), primary_key=True),
    sa.Column("scope", sa.String(10), nullable=False),  # everything, agent, tool or server
    sa.Column("target", sa.String(200), nullable=False),  # empty for everything
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("stopped_by", sa.String(200), nullable=False),
    sa.Column("stopped_at", Instant, nullable=False),
    sa.Column("lifted_by", sa.String(200)),
    sa.Column("lifted_at", Instant),
    sa.Column("lift_reason", sa.Text),
)
# A thing is stopped once at a time.
sa.Index(
    "ix_stops_in_force",
    stops.c.scope,
    stops.c.target,
    unique=True,
    **only_where(sa.text("lifted_at IS NULL")),
)
