"""The tables of plans: what a person approved beforehand, and which calls it let pass."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata
from atlas.reviews.tables import round_of_case

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("plan_id", sa.String(20), primary_key=True),  # plan_ and 12 hex digits
    sa.Column("tool_name", sa.String(200), nullable=False),
    sa.Column("principal", sa.String(200)),  # None: every agent
    sa.Column("condition", sa.Text),  # CEL over the arguments; None: all calls of the tool
    sa.Column("most_calls", sa.Integer, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("made_by", sa.String(200), nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("is_signed", sa.Boolean, nullable=False),  # whether the maker's name was checked
    sa.Column("groups", sa.Text, nullable=False),  # a JSON list: those that the maker's way in vouched for
    sa.Column("policy_sha256", sa.String(64), nullable=False),  # of the file that was in force then
    sa.Column("definition_sha256", sa.String(64), nullable=False),  # of the tool as it was then
    sa.Column("stopped_by", sa.String(200)),
    sa.Column("stopped_at", Instant),
)
sa.Index("ix_plans_tool_name", plans.c.tool_name, plans.c.ends_at)

# Append-only: each call counts once.
plan_uses = sa.Table(
    "plan_uses",
    metadata,
    *round_of_case(),
    sa.Column("plan_id", sa.String(20), sa.ForeignKey("plans.plan_id"), nullable=False, index=True),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),  # of the call that it let pass
    sa.Column("used_at", Instant, nullable=False),
)
