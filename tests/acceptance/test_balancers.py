"""Agents of every era and transport, and people, with two gateways behind a balancer of deploy/balancer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import httpx
import pytest
import pytest_asyncio
from balancers import KINDS, missing
from eras import STATELESS
from fastmcp import Client
from gateway_process import AGENT_KEY, WAIT_SECONDS, call, eventually, outcome, reference_in, text_of
from office_of_gateways import Office, office
from raw_session import RawSession, only_message

from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
TAKEN_UP = "A session was taken up again"
WAYS = [("legacy", False), ("legacy", True), (STATELESS, False)]
AT_ONCE = 3  # clients of each way


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def running(
    server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Office]:
    """Two gateways behind one kind of balancer; each test leaves both running."""
    kind = request.param
    if why := missing(kind):
        pytest.skip(why)
    async with office(kind, tmp_path_factory.mktemp(kind), server.new_database(kind)) as made:
        yield made


def change(word: str) -> dict[str, Any]:
    """The arguments of a call that waits for a person."""
    return {"beneficiary_id": "BEN-125", "changes": {"note": word, "monthly_amount_eur": 700}}


async def govern(running: Office, client: Client[Any], word: str) -> None:
    """One call that passes, and one that a person approves; its agent gets both outcomes."""
    read = await call(client, "check_status", beneficiary_id="BEN-123")
    assert not read.is_error, text_of(read)
    risky = {"beneficiary_id": "BEN-123", "reason": word}
    case_id = reference_in(await call(client, "request_payment_extension", **risky))
    decided = await running.decide(case_id)
    assert decided.status_code == 200, decided.text
    assert "now due on" in text_of(await outcome(client, case_id))


async def test_agents_of_every_era_and_transport_are_governed_at_once(running: Office) -> None:
    """Several of each, at the same time; each deed is done once."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(running.agent(era=era, sse=sse))
            for era, sse in WAYS
            for _ in range(AT_ONCE)
        ]
        await asyncio.gather(
            *(govern(running, client, f"at once {number}") for number, client in enumerate(clients))
        )
    executed = running.rows(
        "SELECT count(*) FROM cases WHERE status = 'EXECUTED' AND arguments LIKE %s", "%at once%"
    )
    assert executed == [(len(clients),)]


async def test_the_requests_of_a_session_meet_in_one_gateway(running: Office) -> None:
    """After its first requests no session is taken up by another gateway."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(running.agent()) for _ in range(6)]
        await asyncio.gather(*(client.list_tools() for client in clients))
        before = running.log().count(TAKEN_UP)
        for _ in range(4):
            await asyncio.gather(*(client.list_tools() for client in clients))
        assert running.log().count(TAKEN_UP) == before


async def test_a_session_that_comes_to_another_gateway_is_taken_up_or_told_that_it_is_not_there(
    running: Office,
) -> None:
    """Over streamable HTTP it goes on; over SSE the other gateway says 404, and has done nothing."""
    first, second = running.gateways
    session = RawSession(first.url)
    await session.open()
    elsewhere = RawSession(second.url, session_id=session.session_id)
    assert "check_status" in str(only_message(await elsewhere.post("tools/list")))
    key = {"Authorization": f"Bearer {AGENT_KEY}"}
    async with (
        httpx.AsyncClient(headers=key, timeout=WAIT_SECONDS) as client,
        client.stream("GET", f"{first.url}/mcp/sse") as stream,
    ):
        address = f"/mcp/messages/?session_id={stream.headers['mcp-session-id']}"
        lines = stream.aiter_lines()  # it is kept: without it the stream would be closed
        assert [await anext(lines), await anext(lines)] == ["event: endpoint", f"data: {address}"]
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        refused = await client.post(second.url + address, json=ping)
        assert (refused.status_code, refused.json()["detail"]) == (404, "Could not find session")
        assert (await client.post(first.url + address, json=ping)).status_code == 202


async def test_clients_go_on_when_a_gateway_is_killed_and_when_it_is_back(running: Office) -> None:
    """Sessions over streamable HTTP and calls without a session; over SSE a client connects again."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(running.agent(era=era))
            for era in ("legacy", "legacy", STATELESS, STATELESS)
        ]
        for number in (0, 1):
            await running.gateways[number].kill()
            words = [f"without {number}, {one}" for one in range(len(clients))]
            pairs = zip(clients, words, strict=True)
            await asyncio.gather(*(govern(running, client, word) for client, word in pairs))
            async with running.agent(sse=True) as again:
                await govern(running, again, f"SSE without {number}")
                await running.start(number)
                await eventually(ReadyForLong(running, number))
                await govern(running, again, f"SSE with {number} back")


class ReadyForLong:
    """Whether a gateway is ready, and has been for as long as nginx leaves one alone after a failure."""

    SECONDS = 2.5  # more than the fail_timeout of deploy/balancer/nginx.conf

    def __init__(self, office: Office, number: int) -> None:
        self._url = office.gateways[number].url
        self._since: float | None = None

    async def __call__(self) -> bool:
        """Ask it."""
        async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
            is_ready = (await client.get(f"{self._url}/readyz")).status_code == 200
        if not is_ready:
            self._since = None
            return False
        self._since = self._since or monotonic()
        return monotonic() - self._since >= self.SECONDS


async def test_people_and_systems_go_to_any_gateway_and_the_engine_only_inside(running: Office) -> None:
    """The webhook answers as a gateway does; what is for the engine is not found from outside."""
    async with running.http() as person:
        answers = [await person.get("/") for _ in range(4)]
        assert {answer.json()["status"] for answer in answers} == {"ATLAS Governance Gateway Running"}
        assert (await running.decide("evt_0000000000000000")).status_code == 404
        for path in ("/api/inngest", "/metrics"):
            assert (await person.get(path)).status_code == 404
        assert (await person.get(f"{running.balancer.inside}/up")).status_code == 200
        assert (await person.get(f"{running.balancer.inside}/api/inngest")).status_code != 404
