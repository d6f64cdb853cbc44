"""The tables of what is watched: when the ledger was verified, and under which span a call came in."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata

ledger_checks = sa.Table(
    "ledger_checks",
    metadata,
    sa.Column("check_id", sa.Integer, primary_key=True),
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("ended_at", Instant, nullable=False),
    sa.Column("entries", sa.Integer, nullable=False),  # so many were found to be whole
    sa.Column("entry_hash", sa.String(64), nullable=False),  # of the last of them
    sa.Column("problem", sa.Text),  # what is wrong with the next one; None: the chain is whole
)

# The span in which a call was made, so that what is done days later can point to it.
case_spans = sa.Table(
    "case_spans",
    metadata,
    sa.Column("case_id", sa.String(20), sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("traceparent", sa.String(55), nullable=False),  # W3C Trace Context
)
