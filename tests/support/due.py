"""What is due of cases: time that passes for them, and what was written when something was due."""

import json
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.instants import now
from atlas.outbox.tables import notices
from atlas.reviews.clock import next_due, take_due
from atlas.reviews.tables import due_times


async def let_pass(store: CaseStore, length: timedelta) -> None:
    """Have everything that is to come of all cases come so much sooner."""

    def work(connection: Connection) -> None:
        for table, key, column in (
            (due_times, due_times.c.due_id, due_times.c.due_at),
            (cases, cases.c.case_id, cases.c.expires_at),
            (cases, cases.c.case_id, cases.c.begins_at),
            (cases, cases.c.case_id, cases.c.frozen_at),
        ):
            for this, at in connection.execute(sa.select(key, column).where(column.is_not(None))).all():
                connection.execute(table.update().where(key == this).values({column.name: at - length}))

    await store.database.write(work)


async def do_due(store: CaseStore) -> int:
    """Do all that is due now, and return how much it was."""
    done = 0
    while True:
        next_at = await store.database.read(next_due)
        if next_at is None or next_at > now():
            return done
        done += await store.database.write(take_due)


async def entries_of(store: CaseStore, case_id: str, *actions: ledger.Action) -> list[dict[str, Any]]:
    """The entries of the ledger about a case, of these kinds."""
    found = await store.database.read(lambda connection: list(ledger.entries_of(connection, case_id)))
    wanted = {action.value for action in actions}
    return [entry for entry in found if entry["action"] in wanted]


async def notices_of(store: CaseStore, case_id: str, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    """The notices about a case, of these kinds: each with what it says."""

    def read(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
        query = sa.select(notices.c.kind, notices.c.content).where(
            notices.c.case_id == case_id, notices.c.kind.in_(kinds)
        )
        rows = connection.execute(query.order_by(notices.c.made_at, notices.c.notice_id))
        return [(row.kind, json.loads(row.content)) for row in rows]

    return await store.database.read(read)
