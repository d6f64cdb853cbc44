"""What gateways that share a store know of each other: processes, the policy in force, secrets of all."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata

# A process that says nothing for a while is given up: others take over what it had begun.
processes = sa.Table(
    "processes",
    metadata,
    sa.Column("process_id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),  # of the machine, for people
    sa.Column("version", sa.String(20), nullable=False),
    sa.Column("policy_sha256", sa.String(64)),  # by which it judges
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),  # by the clock of the store
    sa.Column("ended_at", Instant),
)

# The policies that were put in force for all gateways, the newest version last; append-only.
policies = sa.Table(
    "policies",
    metadata,
    sa.Column("policy_version", sa.Integer, primary_key=True),
    sa.Column("policy_sha256", sa.String(64), nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("put_by", sa.String(200), nullable=False),
    sa.Column("put_at", Instant, nullable=False),
)

# Keys that the gateways made themselves and all need, such as the one of web push.
secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
)
