"""What an agent may read of its own cases, and the note that it has received an ending."""

import logging
import re
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from atlas.agents.keys import current_principal
from atlas.cases.store import CaseStore, mark_collected
from atlas.errors import CaseNotFound
from atlas.models import Case

logger = logging.getLogger(__name__)


REFERENCE = re.compile(r"evt_[0-9a-f]{16}")


async def own_case(store: CaseStore, ref: str) -> Case | None:
    """The case of a reference, if the agent of the present request also made the call."""
    try:
        case = await store.read(ref) if REFERENCE.fullmatch(ref) else None
    except CaseNotFound:
        return None
    return case if case is not None and case.call.principal == current_principal() else None


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
    note = partial(mark_collected, case=case)
    try:
        await (store.database.write_ahead(note) if is_read_only else store.database.write(note))
    except SQLAlchemyError:
        # The agent gets its result all the same; at worst the same call brings it once more.
        logger.exception("It could not be noted that %s was handed over", case.case_id)
