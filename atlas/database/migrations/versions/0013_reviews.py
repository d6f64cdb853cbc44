"""Rules for people: who they are, what they say, when they are asked again, and what they are told."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.append_only import refuse_changes
from atlas.database.migrations.partial import only_where

revision = "0013"
down_revision = "0012"

APPEND_ONLY = ("assertions", "edits", "escalations", "plan_uses")
INSTANT = sa.String(27)


def upgrade() -> None:
    """Make the tables, and add the columns."""
    op.add_column("cases", sa.Column("begins_at", INSTANT))
    op.add_column("cases", sa.Column("edited_round", sa.Integer))
    op.add_column("cases", sa.Column("asked_at", INSTANT))
    for table in ("decisions", "approvals"):
        op.add_column(table, sa.Column("on_behalf_of", sa.String(200)))
        op.add_column(table, sa.Column("way", sa.String(20)))
    _people()
    _reviews()
    _deadlines()
    _plans()
    _outbox()
    _attention()
    refuse_changes(*APPEND_ONLY)


def _text(name: str, length: int | None = None, primary_key: bool = False) -> "sa.Column[str]":
    kind = sa.Text() if length is None else sa.String(length)
    return sa.Column(name, kind, nullable=False, primary_key=primary_key)


def _round_of_case() -> "list[sa.Column[Any]]":
    return [
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
        sa.Column("round_number", sa.Integer, primary_key=True),
    ]


def _at(name: str, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, INSTANT, nullable=nullable)


def _people() -> None:
    op.create_table(
        "profiles",
        _text("person", 200, primary_key=True),
        _text("groups"),
        _text("languages"),
        sa.Column("zone", sa.String(60)),
        sa.Column("working_hours", sa.Text),
        sa.Column("quiet_hours", sa.Text),
        sa.Column("channels", sa.Text),
        sa.Column("digest", sa.String(20)),
        sa.Column("has_key", sa.Boolean, nullable=False, server_default=sa.false()),
        _at("changed_at"),
        _at("ended_at", nullable=True),
    )
    op.create_table(
        "trainings",
        sa.Column("training_id", sa.Integer, primary_key=True),
        _text("person", 200),
        _text("scope", 200),
        _text("what"),
        _at("until", nullable=True),
        _text("noted_by", 200),
        _at("noted_at"),
        _at("ended_at", nullable=True),
    )
    op.create_index("ix_trainings_person", "trainings", ["person", "scope"])
    op.create_table(
        "delegations",
        _text("delegation_id", 20, primary_key=True),
        _text("from_person", 200),
        _text("to_person", 200),
        sa.Column("group_name", sa.String(200)),
        _at("begins_at"),
        _at("ends_at"),
        _text("made_by", 200),
        _at("made_at"),
        sa.Column("ended_by", sa.String(200)),
        _at("ended_at", nullable=True),
    )
    op.create_index("ix_delegations_to_person", "delegations", ["to_person", "ends_at"])
    op.create_table(
        "passkeys",
        _text("credential_id", 1400, primary_key=True),
        _text("person", 200),
        _text("public_key"),
        sa.Column("sign_count", sa.Integer, nullable=False),
        _text("name", 200),
        _text("rp_id", 253),
        _text("origin", 300),
        _at("added_at"),
        _at("confirmed_at", nullable=True),
        sa.Column("confirmed_by", sa.String(1400)),
        _at("used_at", nullable=True),
        _at("ended_at", nullable=True),
    )
    op.create_index("ix_passkeys_person", "passkeys", ["person"])
    op.create_table(
        "challenges",
        _text("challenge_sha256", 64, primary_key=True),
        _text("person", 200),
        _text("purpose", 20),
        _text("origin", 300),
        sa.Column("credential_id", sa.String(1400)),
        sa.Column("case_id", sa.String(20)),
        sa.Column("round_number", sa.Integer),
        sa.Column("seen_sha256", sa.String(64)),
        _at("expires_at"),
        _at("used_at", nullable=True),
    )


def _reviews() -> None:
    op.create_table(
        "claims",
        _text("case_id", 20, primary_key=True),
        _text("person", 200),
        _at("claimed_at"),
        _at("ends_at"),
    )
    op.create_table(
        "assignments",
        _text("case_id", 20, primary_key=True),
        _text("person", 200),
        _text("assigned_by", 200),
        _at("assigned_at"),
    )
    op.create_index("ix_assignments_person", "assignments", ["person"])
    op.create_table(
        "snoozes",
        _text("case_id", 20, primary_key=True),
        _text("person", 200, primary_key=True),
        sa.Column("round_number", sa.Integer, nullable=False),
        _at("until"),
    )
    op.create_table(
        "assertions",
        _text("assertion_sha256", 64, primary_key=True),
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), nullable=False),
        sa.Column("round_number", sa.Integer, nullable=False),
        _text("reviewer", 200),
        _text("credential_id", 1400),
        _text("assertion"),
        _at("made_at"),
    )
    op.create_index("ix_assertions_case_id", "assertions", ["case_id"])
    op.create_table(
        "questions",
        sa.Column("question_id", sa.Integer, primary_key=True),
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), nullable=False),
        sa.Column("round_number", sa.Integer, nullable=False),
        _text("asked_by", 200),
        _text("question"),
        _at("asked_at"),
        sa.Column("answer", sa.Text),
        _at("answered_at", nullable=True),
    )
    op.create_index("ix_questions_case_id", "questions", ["case_id"])
    op.create_table(
        "edits",
        *_round_of_case(),
        _text("arguments"),
        _text("arguments_sha256", 64),
        _text("edited_by", 200),
        _at("edited_at"),
    )


def _deadlines() -> None:
    op.create_table(
        "due_times",
        sa.Column("due_id", sa.Integer, primary_key=True),
        sa.Column("case_id", sa.String(20), nullable=False),
        sa.Column("round_number", sa.Integer, nullable=False),
        _text("kind", 20),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text),
        _at("due_at"),
        _at("done_at", nullable=True),
    )
    op.create_index("ix_due_times_due_at", "due_times", ["due_at"], **only_where(sa.text("done_at IS NULL")))
    op.create_index("ix_due_times_case_id", "due_times", ["case_id", "round_number"])
    op.create_table(
        "escalations",
        *_round_of_case(),
        sa.Column("step", sa.Integer, primary_key=True),
        _text("to_whom", 210),
        _at("escalated_at"),
    )


def _plans() -> None:
    op.create_table(
        "plans",
        _text("plan_id", 20, primary_key=True),
        _text("tool_name", 200),
        sa.Column("principal", sa.String(200)),
        sa.Column("condition", sa.Text),
        sa.Column("most_calls", sa.Integer, nullable=False),
        _at("ends_at"),
        _text("reason"),
        _text("made_by", 200),
        _at("made_at"),
        sa.Column("is_signed", sa.Boolean, nullable=False),
        _text("groups"),
        _text("policy_sha256", 64),
        _text("definition_sha256", 64),
        sa.Column("stopped_by", sa.String(200)),
        _at("stopped_at", nullable=True),
    )
    op.create_index("ix_plans_tool_name", "plans", ["tool_name", "ends_at"])
    op.create_table(
        "plan_uses",
        *_round_of_case(),
        sa.Column("plan_id", sa.String(20), sa.ForeignKey("plans.plan_id"), nullable=False),
        _text("arguments_sha256", 64),
        _at("used_at"),
    )
    op.create_index("ix_plan_uses_plan_id", "plan_uses", ["plan_id"])


def _outbox() -> None:
    op.create_table(
        "notices",
        _text("notice_id", 30, primary_key=True),
        _text("kind", 30),
        sa.Column("case_id", sa.String(20)),
        sa.Column("round_number", sa.Integer),
        _text("content"),
        _at("made_at"),
        _at("spread_at", nullable=True),
    )
    op.create_index("ix_notices_made_at", "notices", ["made_at"], **only_where(sa.text("spread_at IS NULL")))
    op.create_index("ix_notices_case_id", "notices", ["case_id"])
    op.create_table(
        "deliveries",
        _text("delivery_id", 40, primary_key=True),
        sa.Column("notice_id", sa.String(30), sa.ForeignKey("notices.notice_id"), nullable=False),
        sa.Column("case_id", sa.String(20)),
        _text("channel", 30),
        sa.Column("person", sa.String(200)),
        _text("address"),
        _at("next_at"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        _at("sent_at", nullable=True),
        _at("given_up_at", nullable=True),
        sa.Column("last_error", sa.Text),
        sa.Column("receipt", sa.Text),
    )
    open_ones = sa.text("sent_at IS NULL AND given_up_at IS NULL")
    op.create_index("ix_deliveries_next_at", "deliveries", ["next_at"], **only_where(open_ones))
    ended = sa.text("given_up_at IS NOT NULL")
    op.create_index(
        "ix_deliveries_receipt", "deliveries", ["next_at"], **only_where(sa.text("receipt IS NOT NULL"))
    )
    op.create_index("ix_deliveries_given_up_at", "deliveries", ["given_up_at"], **only_where(ended))
    op.create_index("ix_deliveries_case_id", "deliveries", ["case_id"])
    op.create_index("ix_deliveries_notice_id", "deliveries", ["notice_id"])
    op.create_table(
        "push_subscriptions",
        _text("endpoint_sha256", 64, primary_key=True),
        _text("person", 200),
        _text("subscription"),
        _at("added_at"),
        _at("ended_at", nullable=True),
    )


def _attention() -> None:
    for table in ("approvals", "decisions"):
        op.create_index(f"ix_{table}_reviewer_decided_at", table, ["reviewer", "decided_at"])
        op.create_index(f"ix_{table}_decided_at", table, ["decided_at"])
    op.create_table("openings", *_round_of_case(), _text("person", 200, primary_key=True), _at("opened_at"))
    op.create_table(
        "second_looks",
        *_round_of_case(),
        _text("person", 200, primary_key=True),
        _text("kind", 20, primary_key=True),
        _text("said", 20),
        sa.Column("idempotency_key", sa.String(200)),
        _at("at"),
    )
    op.create_table(
        "seeded_cases",
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
        _text("why"),
        _at("made_at"),
    )
