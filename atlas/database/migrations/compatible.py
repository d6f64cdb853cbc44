"""With which gateways the tables work: the row of `alembic_version` says it, beside their version.

A migration only adds what the version before it need not know: old and new gateways work side by side.
One that takes away says from which version on gateways do without it: `works_from` (docs/how-to/upgrade.md).
"""

import sqlalchemy as sa
from alembic import op

FIRST = "0014"  # older gateways have a file of their own, and no others beside them


def note_oldest() -> None:
    """Add the column; used once."""
    op.add_column("alembic_version", sa.Column("oldest_version", sa.String(4), server_default=FIRST))


def works_from(version: str) -> None:
    """Note that gateways of this version and later ones can work with the tables, and older ones cannot."""
    noted = sa.text("UPDATE alembic_version SET oldest_version = :version").bindparams(version=version)
    op.execute(noted)
