"""Tables that take no change: what stands in them stays as it was written.

The owner of the store can drop the triggers: against that there is the chain of the ledger.
"""

from alembic import op

_REFUSE = """
CREATE OR REPLACE FUNCTION atlas_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the table % is append-only', TG_TABLE_NAME;
END $$
"""


def refuse_changes(*tables: str) -> None:
    """Refuse to change or delete a row of some tables."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        op.execute(_REFUSE)
    for table in tables:
        for act in ("UPDATE", "DELETE"):
            begin = f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
            if is_sqlite:
                end = f"BEGIN SELECT RAISE(ABORT, 'the table {table} is append-only'); END"
            else:
                end = "FOR EACH ROW EXECUTE FUNCTION atlas_append_only()"
            op.execute(begin + end)
