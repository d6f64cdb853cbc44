"""Cases as resources that their agents read and subscribe to, over a restart, and no one else."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types
import pytest
import pytest_asyncio
from acceptance.task_client import task_client
from gateway_process import (
    AGENT_KEY,
    OTHER_AGENT_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    reference_in,
)
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated
from sse import left

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings(
        "ignore:resources/(un)?subscribe is removed"
    ),  # in the era that is not tested here
]

SCRIPT = Path(__file__).parent / "gateway_with_tools.py"
TOOL = "request_payment_extension"
HANDSHAKE = pytest.mark.parametrize("kind", ["sse", "http"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for all tests of this module, which may restart it."""
    process = GatewayProcess(tmp_path_factory.mktemp("resources"), script=SCRIPT)
    await process.start()
    yield process
    await process.kill()


class Updates:
    """The resources of which a client was told that they changed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, message: Any) -> None:
        """A message came."""
        if isinstance(message, mcp_types.ResourceUpdatedNotification):
            self._queue.put_nowait(str(message.params.uri))

    async def next(self) -> str:
        """The next one; fails if none comes."""
        return await asyncio.wait_for(self._queue.get(), WAIT_SECONDS)

    @property
    def is_empty(self) -> bool:
        """Whether there is no further one yet."""
        return self._queue.empty()


@asynccontextmanager
async def handshake_client(
    gateway: GatewayProcess, kind: str, updates: Updates, key: str = AGENT_KEY
) -> AsyncIterator[Client]:
    """A client of the era in which one subscribes with resources/subscribe."""
    headers = {"Authorization": f"Bearer {key}"}
    if kind == "sse":
        transport = left(sse_client(f"{gateway.url}/mcp/sse", headers=headers, timeout=WAIT_SECONDS))
    else:
        http = create_mcp_http_client(headers=headers)
        transport = streamable_http_client(f"{gateway.url}/mcp", http_client=http)
    async with Client(transport, mode="legacy", message_handler=updates) as client:
        yield client


async def held(gateway: GatewayProcess) -> str:
    """The reference of a new call that waits for a person."""
    async with gateway.agent() as agent:
        reason = f"a resource {secrets.token_hex(4)}"
        return reference_in(await call(agent, TOOL, beneficiary_id="BEN-125", reason=reason))


def content_of(result: Any) -> dict[str, Any]:
    """What a resource of a case holds."""
    return dict(json.loads(result.contents[0].text))


@HANDSHAKE
async def test_a_subscriber_is_told_and_reads_the_outcome_after_a_restart(
    running: GatewayProcess, kind: str
) -> None:
    """Subscribed, killed, started again, subscribed again, approved: told, and the result is there."""
    case_id = await held(running)
    uri = f"atlas://cases/{case_id}"
    try:
        async with handshake_client(running, kind, Updates()) as agent:
            assert agent.server_capabilities.resources.subscribe  # type: ignore[union-attr]
            await agent.subscribe_resource(uri)
            assert content_of(await agent.read_resource(uri))["status"] == "PENDING_REVIEW"
            await running.kill()
    except Exception:
        if not running.has_ended:  # else the client's connection broke with the gateway
            raise
    await running.start()
    updates = Updates()
    async with handshake_client(running, kind, updates) as agent:
        await agent.subscribe_resource(uri)
        await running.decide(case_id)
        while (case := content_of(await agent.read_resource(uri)))["result"] is None:
            assert await updates.next() == uri
    assert case["status"] == "EXECUTED" and "now due on" in case["result"]


async def test_a_listener_is_told_and_reads_the_outcome_after_a_restart(running: GatewayProcess) -> None:
    """The same in the era without sessions, where one listens."""
    case_id = await held(running)
    uri = f"atlas://cases/{case_id}"
    await running.kill()
    await running.start()
    async with (
        task_client(running.url, AGENT_KEY) as agent,
        agent.listen(resource_subscriptions=[uri]) as changes,
    ):
        assert changes.honored.resource_subscriptions == [uri]
        assert content_of(await agent.read_resource(uri))["status"] == "PENDING_REVIEW"
        await running.decide(case_id, "REJECTED", reason="listen to this")
        assert await asyncio.wait_for(anext(changes), WAIT_SECONDS) == ResourceUpdated(uri)
        case = content_of(await agent.read_resource(uri))
    assert case["status"] == "REJECTED" and "listen to this" in case["message"]


@HANDSHAKE
async def test_who_unsubscribed_is_told_nothing_more(running: GatewayProcess, kind: str) -> None:
    """Another subscription of the same client goes on."""
    first, second = await held(running), await held(running)
    updates = Updates()
    async with handshake_client(running, kind, updates) as agent:
        for case_id in (first, second):
            await agent.subscribe_resource(f"atlas://cases/{case_id}")
        await agent.unsubscribe_resource(f"atlas://cases/{first}")
        await running.decide(first, "REJECTED")
        await running.decide(second, "REJECTED")
        assert await updates.next() == f"atlas://cases/{second}"
        assert updates.is_empty


@pytest.mark.parametrize("uri", ["atlas://cases/{mine}", "atlas://cases/evt_0123456789abcdef", "test://none"])
async def test_no_one_else_reads_or_subscribes_to_a_case(running: GatewayProcess, uri: str) -> None:
    """Another agent's case is like one that never was, in both eras, and is listed to no one else."""
    case_id = await held(running)
    uri = uri.replace("{mine}", case_id)
    async with handshake_client(running, "http", Updates(), key=OTHER_AGENT_KEY) as other:
        for act in (other.read_resource, other.subscribe_resource):
            with pytest.raises(MCPError, match="Resource not found"):
                await act(uri)
        assert case_id not in str(await other.list_resources())
    async with (
        task_client(running.url, OTHER_AGENT_KEY) as other,
        other.listen(resource_subscriptions=[uri]) as changes,
    ):
        assert not changes.honored.resource_subscriptions
    async with handshake_client(running, "http", Updates()) as agent:
        assert f"atlas://cases/{case_id}" in str(await agent.list_resources())
        templates = (await agent.list_resource_templates()).resource_templates
    assert [template.uri_template for template in templates] == ["atlas://cases/{ref}"]


async def test_a_resource_that_is_not_a_case_can_be_subscribed_to_as_well(running: GatewayProcess) -> None:
    """All that is there to be read, in both eras."""
    async with handshake_client(running, "http", Updates()) as agent:
        await agent.subscribe_resource("test://watched")
        await agent.unsubscribe_resource("test://watched")
    async with (
        task_client(running.url, AGENT_KEY) as agent,
        agent.listen(resource_subscriptions=["test://watched", "test://none"]) as changes,
    ):
        assert changes.honored.resource_subscriptions == ["test://watched"]


async def test_it_ends_on_ctrl_c_although_someone_listens(running: GatewayProcess) -> None:
    """An open stream of subscriptions does not keep the gateway from ending."""
    case_id = await held(running)
    async with (
        task_client(running.url, AGENT_KEY) as agent,
        agent.listen(resource_subscriptions=[f"atlas://cases/{case_id}"]),
    ):
        assert await asyncio.wait_for(running.stop(), WAIT_SECONDS) == 0
    await running.start()
