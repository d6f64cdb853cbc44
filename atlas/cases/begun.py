"""Calls that were begun and have not ended: whether their process is at work, and how they are given up."""

import logging
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.endings import end_unknown
from atlas.cases.store import CaseStore, read_case
from atlas.cases.tables import cases
from atlas.database.processes import give_up, is_at_work, lives
from atlas.models import Case, Status

logger = logging.getLogger(__name__)


async def give_up_silent(store: CaseStore) -> None:
    """Give up the processes that say nothing any more: what they had begun is free then."""
    silent = store.database.lease.silent()
    if silent:
        for process_id in await store.database.write(partial(give_up, silent=silent)):
            logger.warning("The gateway with the id %s is silent. Its work is taken over.", process_id)


async def left_by_the_dead(store: CaseStore) -> list[Case]:
    """The calls that were begun by processes that do not live any more."""
    # What has ended is reported; by saying so the question is answered by an index.
    begun = sa.and_(cases.c.reported_at.is_(None), cases.c.status == Status.EXECUTING.value)
    return await store.select(begun, ~is_at_work(cases.c.claimed_by))


def is_elsewhere(connection: Connection, case: Case, process_id: str) -> bool:
    """Whether another process than this one executes the case, as far as the store knows."""
    is_ours = case.claimed_by == process_id
    return case.status is Status.EXECUTING and not is_ours and lives(connection, case.claimed_by)


async def abandon(store: CaseStore, case_id: str, detail: str) -> Case:
    """End a call of which no one knows what it did, unless it has ended or another process is at work."""

    def end(connection: Connection) -> Case:
        case = read_case(connection, case_id)
        if case.status is not Status.EXECUTING or is_elsewhere(connection, case, store.process_id):
            return case
        return end_unknown(connection, case, detail)

    return await store.change(case_id, end)
