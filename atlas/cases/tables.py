"""The tables of cases: the call, and what was asked, judged, approved, decided and done about it.

A case that is judged again begins another round; only the newest round counts.
"""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata, only_where
from atlas.models import SEEDED

# As text: SQLite uses a partial index only for the very condition it was made with.
UNFINISHED = sa.text("cases.status IN ('QUEUED', 'PENDING_REVIEW', 'AUTHORIZED', 'EXECUTING')")
WAITING = sa.text("cases.status = 'PENDING_REVIEW'")
SEEDED_WAITING = sa.text(f"cases.claimed_by = '{SEEDED}' AND {WAITING.text}")
# Ended without a person's yes. Not what ended before people were asked: an agent can bring that about.
WITHOUT_YES = sa.text(
    "(cases.status IN ('REJECTED', 'EXPIRED')"
    " OR (cases.status = 'WITHDRAWN' AND cases.expires_at IS NOT NULL))"
)
UNDECIDED = sa.text("cases.status IN ('QUEUED', 'PENDING_REVIEW')")

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("case_id", sa.String(20), primary_key=True),
    sa.Column("principal", sa.String(200), nullable=False),
    sa.Column("tool_name", sa.String(200), nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("claimed_by", sa.String(32)),
    sa.Column("reported_at", Instant),
    sa.Column("intent", sa.Text),
    sa.Column("user_request", sa.Text),
    sa.Column("continuation", sa.Text),
    sa.Column("collected_at", Instant),
    sa.Column("definition_sha256", sa.String(64)),
    sa.Column("round_number", sa.Integer, nullable=False, server_default=sa.text("1")),
    sa.Column("waiting_before", sa.Text),
    sa.Column("frozen_at", Instant),
    sa.Column("session", sa.String(32)),
    sa.Column("begins_at", Instant),
    sa.Column("edited_round", sa.Integer),
    sa.Column("asked_at", Instant),  # when a person first asked the agent
    sa.Column("held_by", sa.String(32)),  # the process at which its agent waits
    sa.Column("shown_score", sa.Integer),  # while it waits: the risk by which people see it; NULL: as 100
)
# The same call by the same principal is one case while the first is unfinished.
sa.Index(
    "uq_cases_unfinished",
    cases.c.principal,
    cases.c.tool_name,
    cases.c.arguments_sha256,
    unique=True,
    **only_where(sa.text(UNFINISHED.text.replace("cases.", ""))),
)
# Those that no one has decided yet are counted for the limits of calls that wait.
sa.Index(
    "ix_cases_undecided",
    cases.c.principal,
    **only_where(sa.text(UNDECIDED.text.replace("cases.", ""))),
)
# The newest case of a call is looked up whenever the same call comes again.
sa.Index(
    "ix_cases_same_call",
    cases.c.principal,
    cases.c.tool_name,
    cases.c.arguments_sha256,
    cases.c.opened_at,
)
# The cases that an agent has to hear of are listed for it.
sa.Index(
    "ix_cases_uncollected",
    cases.c.principal,
    cases.c.opened_at,
    **only_where(cases.c.collected_at.is_(None)),
)
# The newest cases are listed first.
sa.Index("ix_cases_opened_at", cases.c.opened_at, cases.c.case_id)
for _column in (cases.c.principal, cases.c.tool_name):
    sa.Index(f"ix_cases_{_column.name}_opened_at", _column, cases.c.opened_at, cases.c.case_id)
# What an agent read last may be the answer to a call of long ago.
sa.Index("ix_cases_principal_reported_at", cases.c.principal, cases.c.reported_at)
# Whether a session has more calls than are remembered.
sa.Index("ix_cases_session", cases.c.principal, cases.c.session, cases.c.opened_at)
# The tools of what waits are offered to choose from.
sa.Index("ix_cases_waiting_tools", cases.c.tool_name, **only_where(sa.text("status = 'PENDING_REVIEW'")))
# Those that wait are listed without a look at the rows, whose arguments may be long.
sa.Index(
    "ix_cases_waiting",
    cases.c.opened_at,
    cases.c.case_id,
    cases.c.expires_at,
    cases.c.frozen_at,
    cases.c.principal,
    cases.c.tool_name,
    cases.c.round_number,
    cases.c.arguments_sha256,
    cases.c.status,
    cases.c.shown_score,
    **only_where(sa.text(WAITING.text.replace("cases.", ""))),
)
sa.Index(
    "ix_cases_seeded",
    cases.c.expires_at,
    **only_where(sa.text(SEEDED_WAITING.text.replace("cases.", ""))),
)
sa.Index(
    "ix_cases_without_yes",
    cases.c.principal,
    cases.c.tool_name,
    cases.c.arguments_sha256,
    cases.c.opened_at,
    **only_where(sa.text(WITHOUT_YES.text.replace("cases.", ""))),
)
sa.Index(
    "ix_cases_unreported", cases.c.status, cases.c.expires_at, **only_where(cases.c.reported_at.is_(None))
)

inquiries = sa.Table(
    "inquiries",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("round_number", sa.Integer, primary_key=True),
    sa.Column("assessor", sa.String(200), nullable=False),
    sa.Column("reference", sa.String(200), nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("definition_sha256", sa.String(64)),
)

assessments = sa.Table(
    "assessments",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("round_number", sa.Integer, primary_key=True),
    sa.Column("risk_score", sa.Integer, nullable=False),
    sa.Column("classification", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("rationale", sa.Text, nullable=False),
    sa.Column("assessor", sa.String(200), nullable=False),
    sa.Column("threshold", sa.Integer, nullable=False),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
    sa.Column("assessed_at", Instant, nullable=False),
    sa.Column("ruling", sa.Text),
    sa.Column("model_score", sa.Integer),
    sa.Column("model", sa.String(200)),
    sa.Column("prompt_version", sa.String(200)),
    sa.Column("definition_sha256", sa.String(64)),
    sa.Column("reopened_because", sa.Text),
    sa.Column("is_outside", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("trace", sa.Text),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("round_number", sa.Integer, primary_key=True),
    sa.Column("reviewer", sa.String(200), primary_key=True),
    sa.Column("reason", sa.Text),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
    sa.Column("decided_at", Instant, nullable=False),
    sa.Column("on_behalf_of", sa.String(200)),
    sa.Column("way", sa.String(20)),  # the system that vouched for the reviewer, where one did
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("round_number", sa.Integer, primary_key=True),
    sa.Column("decision", sa.String(10), nullable=False),
    sa.Column("reviewer", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
    sa.Column("decided_at", Instant, nullable=False),
    sa.Column("on_behalf_of", sa.String(200)),
    sa.Column("way", sa.String(20)),  # the system that vouched for the reviewer, where one did
)
# What each person decided in a span of time, for statistics and for the reasons that they gave last.
for _table in (approvals, decisions):
    sa.Index(f"ix_{_table.name}_reviewer_decided_at", _table.c.reviewer, _table.c.decided_at)
    sa.Index(f"ix_{_table.name}_decided_at", _table.c.decided_at)
sa.Index("ix_decisions_reviewer", decisions.c.reviewer, decisions.c.case_id, decisions.c.round_number)

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("result", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("finished_at", Instant, nullable=False),
)

comments = sa.Table(
    "comments",
    metadata,
    sa.Column("comment_id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), nullable=False, index=True),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("written_at", Instant, nullable=False),
)

kept_filters = sa.Table(
    "kept_filters",
    metadata,
    sa.Column("person", sa.String(200), primary_key=True),
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("kept_at", Instant, nullable=False),
)

# What a reviewer's program said under a key of its own, so that it can say it again.
decision_keys = sa.Table(
    "decision_keys",
    metadata,
    sa.Column("reviewer", sa.String(200), primary_key=True),
    sa.Column("idempotency_key", sa.String(200), primary_key=True),
    sa.Column("case_id", sa.String(20), nullable=False),
    sa.Column("decision", sa.String(10), nullable=False),
    sa.Column("round_number", sa.Integer, nullable=False),
    sa.Column("decided_at", Instant, nullable=False),
    sa.Column("said_sha256", sa.String(64), nullable=False),  # the rest of what was said
)
sa.Index("ix_decision_keys_decided_at", decision_keys.c.decided_at)
