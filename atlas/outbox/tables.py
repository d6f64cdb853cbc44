"""The tables of the outbox: what has to be told, and each way to each person by which it goes."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata, only_where

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("notice_id", sa.String(30), primary_key=True),
    sa.Column("kind", sa.String(30), nullable=False),
    sa.Column("case_id", sa.String(20)),
    sa.Column("round_number", sa.Integer),
    sa.Column("content", sa.Text, nullable=False),  # JSON, without arguments
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("spread_at", Instant),  # when the deliveries were made of it
)
sa.Index("ix_notices_made_at", notices.c.made_at, **only_where(notices.c.spread_at.is_(None)))
sa.Index("ix_notices_case_id", notices.c.case_id)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column(
        "delivery_id", sa.String(40), primary_key=True
    ),  # the receiver sees it, so that it knows a copy
    sa.Column("notice_id", sa.String(30), sa.ForeignKey("notices.notice_id"), nullable=False, index=True),
    sa.Column("case_id", sa.String(20), index=True),
    sa.Column("channel", sa.String(30), nullable=False),
    sa.Column("person", sa.String(200)),  # None: the house's own address
    sa.Column("address", sa.Text, nullable=False),  # how it is found in the settings or in the profile
    sa.Column("next_at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("sent_at", Instant),
    sa.Column("given_up_at", Instant),
    sa.Column("last_error", sa.Text),
    sa.Column("receipt", sa.Text),  # by which a message in a chat is rewritten
    sa.Column("claimed_by", sa.String(32)),  # the process that sends it
    sa.Column("failing_since", Instant),  # when the first attempt failed of those since it was taken last
    sa.Column("shown", sa.String(40)),  # for which round and standing of its case a message was rewritten
)
OPEN = sa.and_(deliveries.c.sent_at.is_(None), deliveries.c.given_up_at.is_(None))
sa.Index("ix_deliveries_next_at", deliveries.c.next_at, **only_where(OPEN))
sa.Index("ix_deliveries_receipt", deliveries.c.next_at, **only_where(deliveries.c.receipt.is_not(None)))
sa.Index(
    "ix_deliveries_given_up_at",
    deliveries.c.given_up_at,
    **only_where(deliveries.c.given_up_at.is_not(None)),
)

push_subscriptions = sa.Table(
    "push_subscriptions",
    metadata,
    sa.Column("endpoint_sha256", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("subscription", sa.Text, nullable=False),
    sa.Column("added_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
)
