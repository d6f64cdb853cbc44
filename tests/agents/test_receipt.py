"""The note that an agent has received an ending: it is taken back if the agent stops listening meanwhile."""

import asyncio
import threading
from pathlib import Path

import anyio
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from store import open_case, open_store

from atlas.agents.held_calls import _request_without_agent
from atlas.agents.receipt import Receipts, hand_over
from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.models import Case


async def ended_case(store: CaseStore) -> Case:
    """A case that was executed and of which its agent knows nothing."""
    case = await open_case(store)
    over = cases.update().values(status="EXECUTED")
    await store.database.write(lambda connection: connection.execute(over).rowcount)
    return await store.read(case.case_id)


async def noted(store: CaseStore) -> list[object]:
    """What stands in the file about when each ending was handed over."""
    return await store.database.read(
        lambda connection: list(connection.execute(sa.select(cases.c.collected_at)).scalars())
    )


@pytest.mark.parametrize("is_read_only", [False, True])
async def test_a_stop_while_the_note_is_written_takes_the_note_back(
    tmp_path: Path, is_read_only: bool
) -> None:
    """Right: no answer is sent to a stopped request, so the same call must bring the ending."""
    async with open_store(tmp_path) as store:
        case = await ended_case(store)
        begun, go_on = threading.Event(), threading.Event()
        found: list[object] = []

        def hold_up(connection: Connection) -> None:
            begun.set()
            assert go_on.wait(10)

        def look(connection: Connection) -> None:
            found.extend(connection.execute(sa.select(cases.c.collected_at)).scalars())

        holding = asyncio.create_task(store.database.write(hold_up))
        assert await asyncio.to_thread(begun.wait, 10)
        request = anyio.CancelScope()

        async def hand() -> None:
            with request:
                await hand_over(store, case, is_call=True, is_read_only=is_read_only)

        handing = asyncio.create_task(hand())
        await asyncio.wait({handing}, timeout=0)  # its note waits for the writer
        looking = asyncio.create_task(store.database.write(look))
        await asyncio.wait({looking}, timeout=0)
        request.cancel()
        await asyncio.wait({handing}, timeout=0)
        go_on.set()
        await asyncio.gather(holding, handing, looking)
        assert found != [None], "the note was never written"
        assert await noted(store) == [None]
        await hand_over(store, case, is_call=True, is_read_only=is_read_only)
        assert await noted(store) != [None]


async def test_a_stop_takes_back_no_note_of_another_request(tmp_path: Path) -> None:
    """Right: that agent has its ending, and the same call is a new one."""
    async with open_store(tmp_path) as store:
        case = await ended_case(store)
        await hand_over(store, case, is_call=True)
        before = await noted(store)
        handing = asyncio.create_task(hand_over(store, case, is_call=True))  # it has not seen the note
        await asyncio.wait({handing}, timeout=0)
        handing.cancel()
        await asyncio.wait({handing})
        assert handing.cancelled()
        assert before != [None] and await noted(store) == before


@pytest.mark.parametrize("is_stopped", [False, True])
async def test_a_stop_after_the_note_and_before_the_answer_takes_it_back(
    tmp_path: Path, is_stopped: bool
) -> None:
    """Right: the note stays only where the request ends with its answer."""
    async with open_store(tmp_path) as store:
        case = await ended_case(store)
        is_noted, go_on = asyncio.Event(), asyncio.Event()

        async def serve(_: object) -> dict[str, object]:
            await hand_over(store, case, is_call=True)
            is_noted.set()
            await go_on.wait()
            return {}

        request = _request_without_agent(case.call)._srctx
        serving = asyncio.create_task(Receipts(store)(request, serve))
        await asyncio.wait_for(is_noted.wait(), 60)
        assert await noted(store) != [None]
        if is_stopped:
            serving.cancel()
        go_on.set()
        await asyncio.wait({serving})
        assert serving.cancelled() == is_stopped
        assert (await noted(store) == [None]) == is_stopped
