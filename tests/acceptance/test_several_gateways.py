"""Gateways that share a database: a call that waits at one of them is decided and executed at the other."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from acceptance.task_client import about, task_client
from fastmcp import Client
from gateway_process import GatewayProcess, eventually, outcome, text_of
from mcp.shared.subscriptions import ResourceUpdated
from playwright.async_api import Browser, expect
from postgres import PostgresServer
from together import Together, together

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOOL = "request_extension"
WAIT_SECONDS = 60


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def both(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Together]:
    """Two gateways without keys, which hold a call for as long as they may."""
    url = server.new_database(f"both_{secrets.token_hex(4)}")
    settings = {"ATLAS_AGENT_KEY": "", "ATLAS_REVIEWER_KEY": "", "ATLAS_REVIEW_GRACE_SECONDS": "25"}
    async with together(tmp_path_factory.mktemp("both"), url, **settings) as running:
        yield running


class Asked:
    """A call that waits for a person, with its agent at one of the gateways."""

    def __init__(self, agent: Client[Any], both: Together) -> None:
        self.reason = f"illness {secrets.token_hex(4)}"
        self._both = both
        self.answer = asyncio.create_task(self.again(agent))

    async def again(self, agent: Client[Any], is_held: asyncio.Event | None = None) -> Any:
        """Make the same call; what is given is set when the gateway says that it waits."""

        async def tell(*_: object) -> None:
            if is_held is not None:
                is_held.set()

        arguments = {"beneficiary_id": "BEN-123", "days": 30, "reason": self.reason}
        return await agent.call_tool(TOOL, arguments, progress_handler=tell, raise_on_error=False)

    async def reference(self) -> str:
        """Its reference, as soon as it waits."""

        async def found() -> str | None:
            query = "SELECT case_id FROM cases WHERE status = 'PENDING_REVIEW' AND arguments LIKE %s"
            rows = self._both.ask(query, f"%{self.reason}%")
            return str(rows[0][0]) if rows else None

        return str(await eventually(found))

    def __await__(self) -> Any:
        """The answer."""
        return asyncio.wait_for(self.answer, WAIT_SECONDS).__await__()


@asynccontextmanager
async def asked(both: Together, *, sse: bool = False) -> AsyncIterator[tuple[Client[Any], Asked, str]]:
    """An agent at A whose call waits."""
    async with both.a.agent(None, sse=sse) as agent:
        made = Asked(agent, both)
        try:
            yield agent, made, await made.reference()
        finally:
            made.answer.cancel()


async def approve(gateway: GatewayProcess, reference: str) -> None:
    """A person decides there."""
    assert (await gateway.decide(reference, key=None)).is_success


@pytest.mark.parametrize("sse", [False, True], ids=["http", "sse"])
async def test_a_call_held_at_one_gateway_is_answered_when_a_person_decides_at_the_other(
    both: Together, sse: bool
) -> None:
    """The call is answered with its result and not with a reference; its agent asks nothing again."""
    async with asked(both, sse=sse) as (_, made, reference):
        await approve(both.b, reference)
        assert "now due on" in text_of(await made)


async def test_what_is_cut_off_is_heard_again(both: Together) -> None:
    """The listening connections are ended while a call is held, and before another one is decided."""
    for _ in range(2):
        async with asked(both) as (_, made, reference):
            assert both.cut_listening() >= 1
            await approve(both.b, reference)
            assert "now due on" in text_of(await made)


async def test_an_outcome_is_waited_for_and_read_at_any_gateway(both: Together) -> None:
    """The call was made at A; at B the same agent waits for the outcome, and a person decides at A."""
    async with asked(both) as (_, made, reference), both.b.agent(None) as there:
        waiting = asyncio.create_task(outcome(there, reference))
        await approve(both.a, reference)
        assert "now due on" in text_of(await waiting)
        assert "now due on" in text_of(await made)


async def test_a_task_is_asked_for_and_cancelled_at_any_gateway(both: Together) -> None:
    """A client that takes tasks makes its call at A, and has it withdrawn at B."""
    async with asked(both) as (_, made, reference):
        async with task_client(both.b.url, "any") as there:
            assert (await about(there, "tasks/get", reference))["status"] == "working"
            await about(there, "tasks/cancel", reference)
            assert (await about(there, "tasks/get", reference))["status"] == "cancelled"
        assert "withdrawn" in text_of(await made).lower()


async def test_a_subscriber_at_one_gateway_is_told_of_a_decision_at_the_other(both: Together) -> None:
    """In the era without sessions, where one listens; the stream is at A."""
    async with asked(both) as (_, made, reference):
        uri = f"atlas://cases/{reference}"
        async with (
            task_client(both.a.url, "any") as agent,
            agent.listen(resource_subscriptions=[uri]) as changes,
        ):
            await approve(both.b, reference)
            assert await asyncio.wait_for(anext(changes), WAIT_SECONDS) == ResourceUpdated(uri)
        await made


async def test_the_same_call_made_at_both_gateways_at_once_is_one_case(both: Together) -> None:
    """Both agents wait for it, and both get the one result."""
    async with both.b.agent(None) as there, both.a.agent(None) as here:
        made, is_held = Asked(here, both), asyncio.Event()
        also = asyncio.create_task(made.again(there, is_held))
        reference = await made.reference()
        await asyncio.wait_for(is_held.wait(), WAIT_SECONDS)
        await approve(both.b, reference)
        assert text_of(await made) == text_of(await also)
    rows = both.ask("SELECT case_id FROM cases WHERE arguments LIKE %s", f"%{made.reason}%")
    assert rows == [(reference,)]


async def test_a_stop_at_one_gateway_takes_no_call_back_that_the_agent_makes_again_at_the_other(
    both: Together,
) -> None:
    """Right: a client that gave up at A waits at B, and gets the result there. Wrong: A withdraws it."""
    async with both.b.agent(None) as there, both.a.agent(None) as here:
        made, is_held = Asked(here, both), asyncio.Event()
        reference = await made.reference()
        again = asyncio.create_task(made.again(there, is_held))
        await asyncio.wait_for(is_held.wait(), WAIT_SECONDS)
        made.answer.cancel()
        await asyncio.gather(made.answer, return_exceptions=True)
        await here.list_tools()  # A has read the stop before it answers this
        other = Asked(here, both)
        waits_too = await other.reference()  # and has written by now what came before
        await approve(both.b, reference)
        assert "now due on" in text_of(await again)
        other.answer.cancel()
        await eventually(partial(has_status, both, waits_too, "WITHDRAWN"))
    assert await has_status(both, reference, "EXECUTED")


async def has_status(both: Together, reference: str, status: str) -> bool:
    """Whether a case stands there."""
    return both.ask("SELECT status FROM cases WHERE case_id = %s", reference) == [(status,)]


async def test_the_desk_at_one_gateway_shows_live_what_happens_at_the_other(
    both: Together, chromium: Browser
) -> None:
    """A page that is open at A, while the call is rejected at B; no one loads it again."""
    async with asked(both) as (_, made, reference):
        page = await chromium.new_page()
        await page.goto(f"{both.a.url}/desk/cases/{reference}")
        await expect(page.get_by_role("button", name="Approve").first).to_be_visible()
        rejected = await both.b.decide(reference, "REJECTED", key=None, reason="told from elsewhere")
        assert rejected.is_success
        await expect(page.get_by_text("told from elsewhere").first).to_be_visible()
        await page.close()
        assert "told from elsewhere" in text_of(await made)
