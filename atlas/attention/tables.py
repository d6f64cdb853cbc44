"""The tables of attention: when a person opened a case, what they said first, and which cases are seeded."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata
from atlas.reviews.tables import round_of_case

# When people opened cases that waited.
openings = sa.Table(
    "openings",
    metadata,
    *round_of_case(),
    sa.Column("person", sa.String(200), primary_key=True),
    sa.Column("opened_at", Instant, nullable=False),  # the first time
)

# What was asked once more, and what the person had said before.
second_looks = sa.Table(
    "second_looks",
    metadata,
    *round_of_case(),
    sa.Column("person", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(20), primary_key=True),  # first_choice, or too_fast
    sa.Column("said", sa.String(20), nullable=False),  # the decision
    sa.Column("idempotency_key", sa.String(200)),  # the same request again is no second look
    sa.Column("at", Instant, nullable=False),
)

# Cases that are known to be bad and are never executed.
seeded_cases = sa.Table(
    "seeded_cases",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
)
