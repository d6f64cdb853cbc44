"""The tables of people: who they are, their links, their sessions, and sign-ins that failed."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata

people = sa.Table(
    "people",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("seen_as", sa.String(400), nullable=False, unique=True),  # as a reader sees the name
    sa.Column("groups", sa.Text, nullable=False),  # a JSON list
    sa.Column("password_hash", sa.Text),
    sa.Column("added_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
)

links = sa.Table(
    "links",
    metadata,
    sa.Column("link_sha256", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
)

# Whom a provider or a proxy means by a name: a name that was taken once is never another person's.
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("subject_sha256", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False, unique=True),
    sa.Column("way", sa.String(20), nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
)

desk_sessions = sa.Table(
    "desk_sessions",
    metadata,
    sa.Column("session_sha256", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("groups", sa.Text, nullable=False),  # a JSON list
    sa.Column("way", sa.String(20), nullable=False),
    sa.Column("is_signed", sa.Boolean, nullable=False),
    sa.Column("form_token", sa.String(64), nullable=False),
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
)
sa.Index("ix_desk_sessions_person", desk_sessions.c.person)
sa.Index("ix_desk_sessions_last_seen_at", desk_sessions.c.last_seen_at)

sign_in_attempts = sa.Table(
    "sign_in_attempts",
    metadata,
    sa.Column("subject", sa.String(250), primary_key=True),  # an account or an address
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
)
