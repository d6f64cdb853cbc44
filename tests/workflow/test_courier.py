"""The courier: when the run of a case is reminded."""

import time
from pathlib import Path

import inngest
import pytest
from judged_calls import REDEFINED, decisions_under, waiting
from store import approval, open_store

from atlas.errors import CallChanged
from atlas.workflow.courier import OVERDUE_SECONDS, SILENCE_SECONDS, Courier


async def test_a_call_that_was_judged_again_and_is_overdue_does_not_wait_long_for_its_run(
    tmp_path: Path,
) -> None:
    """Its run may have been lost, or wait for another end; that of a first round knows its time."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)
        with pytest.raises(CallChanged):
            await decisions_under(store, definition=REDEFINED).record(case.case_id, approval())
        again = await store.read(case.case_id)
        courier, moment = Courier(inngest.Inngest(app_id="test"), store), time.monotonic()
        pauses = [courier._delivery(each, moment=moment).due_at - moment for each in (case, again)]
        assert pauses == pytest.approx([SILENCE_SECONDS, OVERDUE_SECONDS])
        assert OVERDUE_SECONDS <= 5
