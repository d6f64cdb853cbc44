"""The note that an agent has received an ending: it is taken back if the agent stops listening meanwhile."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
import sqlalchemy as sa
from fastmcp import Client, FastMCP
from fastmcp.server.context import Context
from sqlalchemy.engine import Connection
from starlette.requests import Request
from store import answer, open_case, open_store, settings_of_test, tool_call

from atlas.admit import Admission, Checked
from atlas.agents.held_calls import WaitingAgents, _request_without_agent
from atlas.agents.receipt import Receipts, _is_stopped, hand_over, hand_over_stored
from atlas.agents.same_call import take_stored
from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.models import EVERY_AGENT, Case


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


class Telling(Admission):
    """The gate, which tells when it looks for the case of a call."""

    looks: asyncio.Event

    async def _open_case(self, checked: Checked) -> tuple[Case, bool]:
        self.looks.set()
        return await super()._open_case(checked)


@asynccontextmanager
async def busy(store: CaseStore) -> AsyncIterator[None]:
    """Another change is being made, behind which all others wait."""
    begun, go_on = threading.Event(), threading.Event()

    def hold_up(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(60)

    holding = asyncio.create_task(store.database.write(hold_up))
    assert await asyncio.to_thread(begun.wait, 60)
    try:
        yield
    finally:
        go_on.set()
        await holding


async def test_a_stop_while_a_stored_ending_is_taken_leaves_it_to_the_next_call(tmp_path: Path) -> None:
    """Right: the third try brings the ending. Wrong: it is a new case, whose tool runs a second time."""
    async with open_store(tmp_path) as store:
        settings = settings_of_test(tmp_path, atlas_grace_seconds=0)
        opened: list[Case] = []
        gate = Telling(store=store, announce=opened.append, settings=settings, waiting=WaitingAgents())
        gate.looks = asyncio.Event()
        server, requests = FastMCP("gated", middleware=[gate]), list[Any]()
        server.tool(pay)

        async def see(ctx: Any, call_next: Any) -> Any:
            requests.append(ctx)
            return await call_next(ctx)

        server._mcp_server.middleware[:0] = [Receipts(store), see]
        case = await open_case(store, tool_call("pay", EVERY_AGENT, amount=5))
        await answer(store, case, "Paid 5.")
        async with Client(server) as agent:
            async with busy(store):
                asking = asyncio.create_task(agent.call_tool("pay", {"amount": 5}))
                await asyncio.wait_for(gate.looks.wait(), 60)
                asking.cancel()
                await until_stopped(requests[-1])
            await asyncio.gather(asking, return_exceptions=True)
            again = await agent.call_tool("pay", {"amount": 5})
        assert again.content[0].text == "Paid 5." and opened == []
        assert await noted(store) != [None]


def pay(amount: int) -> str:
    """Pay."""
    return f"Paid {amount}."


async def until_stopped(request: Any) -> None:
    """Wait until the server has read that a request is stopped."""
    with anyio.fail_after(60):
        while not _is_stopped(request):  # noqa: ASYNC110  (the SDK gives no other sign)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_stored_ending_is_kept_for_the_next_call_where_its_agent_has_left(
    tmp_path: Path, is_there: bool
) -> None:
    """Right: in a session over streamable HTTP the request of an agent that left goes on to its end."""

    async def receive() -> dict[str, Any]:
        if is_there:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async with open_store(tmp_path) as store:
        call = tool_call("pay", EVERY_AGENT, amount=5)
        await answer(store, await open_case(store, call), "Paid 5.")
        taken = await store.database.write(lambda connection: take_stored(connection, call))
        assert taken is not None
        request = SimpleNamespace(request=Request({"type": "http"}, receive))
        context = SimpleNamespace(request_context=request, transport="streamable-http")
        await hand_over_stored(store, taken, cast(Context, context))
        assert (await noted(store) == [None]) is not is_there
