"""The tables of reviews: who looks at a case, what was asked and changed, and what is due when."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata, only_where


def round_of_case() -> tuple[sa.Column[str], sa.Column[int]]:
    """The key of what is kept of one round of a case."""
    return (
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
        sa.Column("round_number", sa.Integer, primary_key=True),
    )


# Who has taken a case, for some minutes; it blocks no one.
claims = sa.Table(
    "claims",
    metadata,
    sa.Column("case_id", sa.String(20), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("claimed_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
)

# To whom a supervisor gave a case; it blocks no one either.
assignments = sa.Table(
    "assignments",
    metadata,
    sa.Column("case_id", sa.String(20), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False, index=True),
    sa.Column("assigned_by", sa.String(200), nullable=False),
    sa.Column("assigned_at", Instant, nullable=False),
)

# Until when a person has put a case aside; a case that is judged again comes back at once.
snoozes = sa.Table(
    "snoozes",
    metadata,
    sa.Column("case_id", sa.String(20), primary_key=True),
    sa.Column("person", sa.String(200), primary_key=True),
    sa.Column("round_number", sa.Integer, nullable=False),
    sa.Column("until", Instant, nullable=False),
)

# What a passkey signed for an approval that counts, with all that it takes to check it later; append-only.
assertions = sa.Table(
    "assertions",
    metadata,
    sa.Column("assertion_sha256", sa.String(64), primary_key=True),  # which the ledger names
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), nullable=False, index=True),
    sa.Column("round_number", sa.Integer, nullable=False),
    sa.Column("reviewer", sa.String(200), nullable=False),
    sa.Column("credential_id", sa.String(1400), nullable=False),
    sa.Column("assertion", sa.Text, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
)

# What a person asked the agent of its call, and what it answered.
questions = sa.Table(
    "questions",
    metadata,
    sa.Column("question_id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), nullable=False, index=True),
    sa.Column("round_number", sa.Integer, nullable=False),
    sa.Column("asked_by", sa.String(200), nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("answered_at", Instant),
)

# The arguments as a person changed them, from this round on; append-only.
edits = sa.Table(
    "edits",
    metadata,
    *round_of_case(),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
    sa.Column("edited_by", sa.String(200), nullable=False),
    sa.Column("edited_at", Instant, nullable=False),
)

# What has to happen to a case that waits, once, and when.
due_times = sa.Table(
    "due_times",
    metadata,
    sa.Column("due_id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String(20), nullable=False),
    sa.Column("round_number", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("detail", sa.Text),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("done_at", Instant),
)
sa.Index("ix_due_times_due_at", due_times.c.due_at, **only_where(due_times.c.done_at.is_(None)))
sa.Index("ix_due_times_case_id", due_times.c.case_id, due_times.c.round_number)

# To whom a case went that waited too long; append-only.
escalations = sa.Table(
    "escalations",
    metadata,
    *round_of_case(),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("to_whom", sa.String(210), nullable=False),  # a name, or `group:` and the name of a group
    sa.Column("escalated_at", Instant, nullable=False),
)
