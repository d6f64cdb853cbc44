"""Alembic's entry: runs the migrations on the connection that atlas.database.migrate opened."""

from alembic import context

import atlas.cases
import atlas.ledger
import atlas.sessions.store
import atlas.tools  # noqa: F401  (each describes its tables in the metadata)
from atlas.database import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
