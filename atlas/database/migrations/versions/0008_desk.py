"""The reviewer's desk: people and their sessions, comments, kept filters, and what is stopped."""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.partial import only_where

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables of people, of what they write beside a case, and of stops, and the index of history."""
    _make_people()
    _make_comments()
    _make_stops()
    op.create_index("ix_cases_opened_at", "cases", ["opened_at", "case_id"])


def _make_people() -> None:
    op.create_table(
        "people",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("seen_as", sa.String(400), nullable=False, unique=True),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text),
        sa.Column("added_at", sa.String(27), nullable=False),
        sa.Column("ended_at", sa.String(27)),
    )
    op.create_table(
        "links",
        sa.Column("link_sha256", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("person", sa.String(200), nullable=False),
        sa.Column("expires_at", sa.String(27), nullable=False),
        sa.Column("used_at", sa.String(27)),
    )
    op.create_table(
        "desk_sessions",
        sa.Column("session_sha256", sa.String(64), primary_key=True),
        sa.Column("person", sa.String(200), nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("way", sa.String(20), nullable=False),
        sa.Column("is_signed", sa.Boolean, nullable=False),
        sa.Column("form_token", sa.String(64), nullable=False),
        sa.Column("began_at", sa.String(27), nullable=False),
        sa.Column("last_seen_at", sa.String(27), nullable=False),
        sa.Column("ended_at", sa.String(27)),
    )
    op.create_index("ix_desk_sessions_person", "desk_sessions", ["person"])
    op.create_index("ix_desk_sessions_last_seen_at", "desk_sessions", ["last_seen_at"])
    op.create_table(
        "sign_in_attempts",
        sa.Column("subject", sa.String(250), primary_key=True),
        sa.Column("began_at", sa.String(27), nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
    )


def _make_comments() -> None:
    op.create_table(
        "comments",
        sa.Column("comment_id", sa.Integer, primary_key=True),
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("written_at", sa.String(27), nullable=False),
    )
    op.create_index("ix_comments_case_id", "comments", ["case_id"])
    op.create_table(
        "kept_filters",
        sa.Column("person", sa.String(200), primary_key=True),
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("kept_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "decision_keys",
        sa.Column("reviewer", sa.String(200), primary_key=True),
        sa.Column("idempotency_key", sa.String(200), primary_key=True),
        sa.Column("case_id", sa.String(20), nullable=False),
        sa.Column("decision", sa.String(10), nullable=False),
        sa.Column("round_number", sa.Integer, nullable=False),
        sa.Column("decided_at", sa.String(27), nullable=False),
    )


def _make_stops() -> None:
    op.create_table(
        "stops",
        sa.Column("stop_id", sa.String(20), primary_key=True),
        sa.Column("scope", sa.String(10), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("stopped_by", sa.String(200), nullable=False),
        sa.Column("stopped_at", sa.String(27), nullable=False),
        sa.Column("lifted_by", sa.String(200)),
        sa.Column("lifted_at", sa.String(27)),
        sa.Column("lift_reason", sa.Text),
    )
    in_force = sa.text("lifted_at IS NULL")
    op.create_index("ix_stops_in_force", "stops", ["scope", "target"], unique=True, **only_where(in_force))
    op.add_column("cases", sa.Column("frozen_at", sa.String(27)))
