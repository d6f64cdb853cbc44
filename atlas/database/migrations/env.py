"""Alembic's entry: runs the migrations on the connection that atlas.database.migrating.migrate opened."""

from alembic import context

import atlas.agents.sessions.store
import atlas.attention.tables
import atlas.cases.store
import atlas.database.tables
import atlas.ledger
import atlas.outbox.tables
import atlas.people.tables
import atlas.plans.tables
import atlas.reviews.tables
import atlas.stop.tables
import atlas.telemetry.tables
import atlas.welfare  # noqa: F401  (each describes its tables in the metadata)
from atlas.database.statements import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
