"""Several gateways: which processes there are, which policy is in force, and what is watched.

In PostgreSQL all texts are of any length and sort by their bytes, and all numbers have 64 bits, as in SQLite.
"""

import sqlalchemy as sa
from alembic import op

from atlas.database.migrations.append_only import refuse_changes
from atlas.database.migrations.compatible import note_oldest
from atlas.database.migrations.partial import only_where

revision = "0014"
down_revision = "0013"

INSTANT = sa.String(27)

# NULL: it is no JSON, it says nothing at the path, or it is a text with a NUL, which PostgreSQL cannot hold.
FUNCTIONS = (
    """
    CREATE OR REPLACE FUNCTION atlas_json_text(document text, VARIADIC keys text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        RETURN document::json #>> keys;
    EXCEPTION WHEN OTHERS THEN
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION atlas_json_int(document text, VARIADIC keys text[]) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF json_typeof(document::json #> keys) <> 'number' THEN
            RETURN NULL;
        END IF;
        RETURN (document::json #>> keys)::bigint;
    EXCEPTION WHEN OTHERS THEN
        RETURN NULL;
    END $$
    """,
)
# By which risk people see what waits: as 100 where a rule hides it.
HIDES = {
    "sqlite": "json_extract(ruling, '$.review.hides_score')",
    "postgresql": "ruling::json #>> '{review,hides_score}'",
}
SHOWN_SCORE = """
UPDATE cases SET shown_score = (
    SELECT CASE WHEN {hides} IS NULL THEN risk_score ELSE 100 END FROM assessments
    WHERE assessments.case_id = cases.case_id AND assessments.round_number = cases.round_number
) WHERE status = 'PENDING_REVIEW'
"""
WAITING = (
    *("opened_at", "case_id", "expires_at", "frozen_at", "principal", "tool_name", "round_number"),
    *("arguments_sha256", "status", "shown_score"),
)
# SQLite reads what waits out of one index and sorts it. The first two are as lists/finding.py sorts.
INDEXES = (
    "CREATE INDEX ix_cases_riskiest ON cases (COALESCE(shown_score, 100) DESC, opened_at, case_id)"
    " WHERE status = 'PENDING_REVIEW'",
    "CREATE INDEX ix_cases_nearest_end ON cases (COALESCE(expires_at, '9999'), opened_at, case_id)"
    " WHERE status = 'PENDING_REVIEW'",
    # Whether an agent without sessions read from outside is asked of all of its calls.
    "CREATE INDEX ix_assessments_outside ON assessments (case_id, round_number) WHERE is_outside",
)
WIDER = """
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT table_name, string_agg(format(
            'ALTER COLUMN %I TYPE %s', column_name,
            CASE data_type WHEN 'integer' THEN 'bigint' ELSE 'text COLLATE "C"' END
        ), ', ') AS changes
        FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name <> 'alembic_version'
            AND data_type IN ('character varying', 'text', 'integer')
        GROUP BY table_name
    LOOP
        EXECUTE format('ALTER TABLE %I %s', one.table_name, one.changes);
    END LOOP;
END $$
"""


def upgrade() -> None:
    """Make the tables, and prepare PostgreSQL."""
    op.create_table(
        "processes",
        sa.Column("process_id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("version", sa.String(20), nullable=False),
        sa.Column("policy_sha256", sa.String(64)),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
    )
    op.create_table(
        "policies",
        sa.Column("policy_version", sa.Integer, primary_key=True),
        sa.Column("policy_sha256", sa.String(64), nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("put_by", sa.String(200), nullable=False),
        sa.Column("put_at", INSTANT, nullable=False),
    )
    op.add_column("cases", sa.Column("held_by", sa.String(32)))
    op.add_column("deliveries", sa.Column("claimed_by", sa.String(32)))
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(60), primary_key=True),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
    )
    op.create_table(
        "ledger_checks",
        sa.Column("check_id", sa.Integer, primary_key=True),
        sa.Column("began_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("entry_hash", sa.String(64), nullable=False),
        sa.Column("problem", sa.Text),
    )
    op.create_table(
        "case_spans",
        sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
        sa.Column("traceparent", sa.String(55), nullable=False),
    )
    op.add_column("cases", sa.Column("shown_score", sa.Integer))
    op.execute(SHOWN_SCORE.format(hides=HIDES[op.get_bind().dialect.name]))
    op.drop_index("ix_cases_waiting", "cases")
    is_waiting = only_where(sa.text("status = 'PENDING_REVIEW'"))
    op.create_index("ix_cases_waiting", "cases", WAITING, **is_waiting)
    op.create_index("ix_cases_waiting_tools", "cases", ["tool_name"], **is_waiting)
    refuse_changes("policies")
    note_oldest()
    if op.get_bind().dialect.name == "postgresql":
        for function in (*FUNCTIONS, WIDER, *INDEXES):
            op.execute(function)
