"""The stored ending of a call: which one is handed out, and for how long."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection
from store import open_case, open_store, tool_call

from atlas.agents.same_call import take_stored
from atlas.cases.store import transition
from atlas.instants import now
from atlas.models import Case, Status


@pytest.mark.parametrize(("days", "is_kept"), [(6.9, True), (7.1, False)])
async def test_an_ending_is_handed_out_for_seven_days(tmp_path: Path, days: float, is_kept: bool) -> None:
    """What ended before is told by get_outcome only; the call is a new one."""
    async with open_store(tmp_path) as store:
        call = tool_call("check_status", beneficiary_id="BEN-123")
        case = await open_case(store, call)

        def expire(connection: Connection) -> Case:
            ended_at = now() - timedelta(days=days)
            waiting = transition(connection, case, Status.PENDING_REVIEW, expires_at=ended_at)
            return transition(connection, waiting, Status.EXPIRED, reported_at=now())

        await store.change(case.case_id, expire)
        first = await store.database.write(lambda connection: take_stored(connection, call))
        again = await store.database.write(lambda connection: take_stored(connection, call))
        assert (first is not None) is is_kept and again is None


async def test_of_several_endings_only_the_newest_counts(tmp_path: Path) -> None:
    """An older one that was never asked for does not come up later."""
    async with open_store(tmp_path) as store:
        call = tool_call("check_status", beneficiary_id="BEN-123")
        for _ in range(2):
            case = await open_case(store, call)

            def end(connection: Connection, case: Case = case) -> Case:
                return transition(connection, case, Status.REJECTED, reported_at=now())

            await store.change(case.case_id, end)
        newest = await store.database.write(lambda connection: take_stored(connection, call))
        again = await store.database.write(lambda connection: take_stored(connection, call))
        assert newest is not None and newest.case_id == case.case_id and again is None
