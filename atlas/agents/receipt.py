"""What an agent may read of its own cases, and the note that it has received an ending."""

import asyncio
import logging
import re
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from typing import Any

import anyio
from fastmcp.server.context import Context
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from sqlalchemy.exc import SQLAlchemyError

from atlas.agents.held_calls import has_left
from atlas.agents.keys import current_principal
from atlas.cases.store import CaseStore, mark_collected, mark_not_collected
from atlas.errors import CaseNotFound
from atlas.instants import now
from atlas.models import Case

REFERENCE = re.compile(r"evt_[0-9a-f]{16}")

# What was noted in the request that is being served: a case, and the moment of the note.
noted: ContextVar[list[tuple[Case, datetime]] | None] = ContextVar("noted", default=None)

logger = logging.getLogger(__name__)


class Receipts:
    """Takes the notes of a request back that its agent stopped before the answer was on its way."""

    def __init__(self, store: CaseStore) -> None:
        self._store = store

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Serve a request; the SDK sends no answer to one that was stopped, even if it has one."""
        notes: list[tuple[Case, datetime]] = []
        token = noted.set(notes)
        is_cancelled = False
        is_call = ctx.method == "tools/call"
        self._store.draining.calls += is_call
        try:
            return await call_next(ctx)
        except asyncio.CancelledError:
            is_cancelled = True
            raise
        finally:
            noted.reset(token)
            self._store.draining.calls -= is_call
            if notes and (is_cancelled or _is_stopped(ctx)):
                for case, moment in notes:
                    await _take_back(self._store, case, at=moment)


def _is_stopped(ctx: ServerRequestContext[Any, Any]) -> bool:
    stop = getattr(getattr(ctx.session, "_request_outbound", None), "cancel_requested", None)
    return stop is not None and stop.is_set()


async def own_case(store: CaseStore, ref: str) -> Case | None:
    """The case of a reference, if the agent of the present request also made the call."""
    try:
        case = await store.read(ref) if REFERENCE.fullmatch(ref) else None
    except CaseNotFound:
        return None
    if case is None or case.is_seeded:
        return None
    return case if case.call.principal == current_principal() else None


async def hand_over(
    store: CaseStore, case: Case, *, is_call: bool = False, is_read_only: bool = False
) -> None:
    """Note that an agent gets the ending of its call now; the same call is then a new one.

    The note is on disk before the agent has its answer: else, after a power failure, a second call that is
    the same would bring the ending of the first. A read-only tool is not answered from an earlier case, so
    that its agent need not wait for the disk.

    What a tool asks the agent can only be handed over, and then answered, where the agent makes its call.
    """
    if not case.status.is_final or case.collected_at is not None:
        return
    if not is_call and case.outcome is not None and case.outcome.asks_for_input:
        return
    moment = now()
    note = partial(mark_collected, case=case, at=moment)
    try:
        await (store.database.write_ahead(note) if is_read_only else store.database.write(note))
    except asyncio.CancelledError:
        await _take_back(store, case, at=moment)
        raise
    except SQLAlchemyError:
        # The agent gets its result all the same; at worst the same call brings it once more.
        logger.exception("It could not be noted that %s was handed over", case.case_id)
        return
    _remember(case, moment)


async def hand_over_stored(store: CaseStore, case: Case, context: Context) -> None:
    """Have the note on an ending that was taken from the store end as the present request does.

    The note is on disk already. If it stayed without an answer, the same call would be executed again.
    """
    if case.collected_at is None:
        return
    _remember(case, case.collected_at)  # before anything is waited for: that may be cancelled
    if await has_left(context):
        await _take_back(store, case, at=case.collected_at)


def _remember(case: Case, moment: datetime) -> None:
    """Have a note taken back if its request is stopped before the answer."""
    if (notes := noted.get()) is not None:
        notes.append((case, moment))


async def _take_back(store: CaseStore, case: Case, *, at: datetime) -> None:
    """The agent stopped its request: it gets no answer to it, and the same call has to bring the ending."""
    with anyio.CancelScope(shield=True):
        try:
            await store.database.write(partial(mark_not_collected, case=case, at=at))
        except SQLAlchemyError:
            logger.exception("It could not be taken back that %s was handed over", case.case_id)
