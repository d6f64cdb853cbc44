"""What passes between agents and an upstream beside arguments and results, through a real gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp.types as mt
import pytest
import pytest_asyncio
from acceptance.conformance_server import SCHEMA_2020_12
from acceptance.conformance_suite import configuration, fixture_server
from gateway_process import WAIT_SECONDS, GatewayProcess, eventually, reference_in, text_of
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged
from mcp_types import LOG_LEVEL_META_KEY, MISSING_REQUIRED_CLIENT_CAPABILITY

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # Each is of one era, and said to be gone in the other.
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]

WATCHED = "test://fx/watched-resource"
ERAS = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
WAYS = pytest.mark.parametrize("way", ["http", "sse"])
AGENT_KEY = "agent-key-of-the-relays"
HELD = """
[[rule]]
tool = "fx_tell_capabilities"
when = "has(args.is_held) && args.is_held"
score = 90
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateways(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, GatewayProcess]]:
    """A gateway in front of the fixture over streamable HTTP, and one in front of it over SSE."""
    async with (
        _gateway(tmp_path_factory.mktemp("http"), "http") as http,
        _gateway(tmp_path_factory.mktemp("sse"), "sse") as sse,
    ):
        yield {"http": http, "sse": sse}


@asynccontextmanager
async def _gateway(directory: Any, way: str) -> AsyncIterator[GatewayProcess]:
    async with fixture_server(directory, way) as url:
        settings = configuration(directory, url, prefix="fx")
        policy = directory / "policy.toml"
        policy.write_text(policy.read_text().replace("[[rule]]", f"{HELD}\n[[rule]]", 1))
        gateway = GatewayProcess(directory, **settings, ATLAS_AGENT_KEY=f"agent:{AGENT_KEY}")
        try:
            await gateway.start()
            yield gateway
        finally:
            await gateway.kill()


@asynccontextmanager
async def agent(gateway: GatewayProcess, era: str = "2026-07-28", **handlers: Any) -> AsyncIterator[Client]:
    """A client of an era, with what it can be asked."""
    http = create_mcp_http_client(headers={"Authorization": f"Bearer {AGENT_KEY}"})
    transport = streamable_http_client(f"{gateway.url}/mcp", http_client=http)
    async with Client(transport, mode=era, **handlers) as client:
        yield client


class Updates:
    """The resources of which a client of the handshake era was told that they changed."""

    def __init__(self) -> None:
        self.uris: list[str] = []

    async def __call__(self, message: Any) -> None:
        """A message came."""
        if isinstance(message, mt.ResourceUpdatedNotification):
            self.uris.append(str(message.params.uri))


async def sampled(*_: Any) -> mt.CreateMessageResult:
    """What the agent's model says."""
    text = mt.TextContent(type="text", text="Paris")
    return mt.CreateMessageResult(role="assistant", content=text, model="a model")


# Completions


@WAYS
@ERAS
async def test_completions_come_from_the_upstream_by_its_own_names(
    gateways: dict[str, GatewayProcess], way: str, era: str
) -> None:
    """A prompt and a template have a prefix here, and none where they are completed."""
    argument = {"name": "arg1", "value": "par"}
    async with agent(gateways[way], era) as client:
        prompt = mt.PromptReference(type="ref/prompt", name="fx_test_prompt_with_arguments")
        of_prompt = await eventually(lambda: suggested(client, prompt, argument))
        template = mt.ResourceTemplateReference(type="ref/resource", uri="test://fx/template/{id}/data")
        of_template = await eventually(lambda: suggested(client, template, argument))
    cities = ("paris", "park", "party")
    assert of_prompt == [f"test_prompt_with_arguments {city}" for city in cities]
    assert of_template == [f"test://template/{{id}}/data {city}" for city in cities]


async def suggested(client: Client, reference: Any, argument: dict[str, str]) -> list[str]:
    """What is suggested; nothing where the server was too slow for a person who types."""
    return list((await client.complete(reference, argument)).completion.values)


async def test_what_no_upstream_offers_is_not_completed(gateways: dict[str, GatewayProcess]) -> None:
    """An unknown reference has no suggestions, which is no error."""
    async with agent(gateways["http"]) as client:
        unknown = mt.PromptReference(type="ref/prompt", name="nobody_has_this")
        answer = await client.complete(unknown, {"name": "arg1", "value": "par"})
    assert answer.completion.values == []


# Subscriptions


@WAYS
async def test_an_update_of_an_upstream_reaches_a_subscriber_of_the_handshake_era(
    gateways: dict[str, GatewayProcess], way: str
) -> None:
    """It is told by the name that it subscribed to, and no more when it has unsubscribed."""
    updates = Updates()
    async with agent(gateways[way], "legacy", message_handler=updates) as client:
        await client.subscribe_resource(WATCHED)

        async def is_told() -> bool:
            await client.call_tool("fx_touch_watched_resource", {})
            return WATCHED in updates.uris

        await eventually(is_told)
        await client.unsubscribe_resource(WATCHED)

        async def is_forgotten() -> bool:
            told = len(updates.uris)
            touched = await client.call_tool("fx_touch_watched_resource", {})
            return "Told 0" in text_of(touched) and len(updates.uris) == told

        await eventually(is_forgotten)


@WAYS
async def test_an_update_of_an_upstream_reaches_a_listener_of_the_stateless_era(
    gateways: dict[str, GatewayProcess], way: str
) -> None:
    """In any era of the upstream."""
    async with (
        agent(gateways[way]) as client,
        client.listen(resource_subscriptions=[WATCHED]) as changes,
    ):
        heard = asyncio.ensure_future(anext(changes))

        async def is_told() -> bool:
            await client.call_tool("fx_touch_watched_resource", {})
            return heard.done()

        await eventually(is_told)
        assert heard.result() == ResourceUpdated(uri=WATCHED)


async def test_a_changed_list_of_an_upstream_reaches_a_listener(gateways: dict[str, GatewayProcess]) -> None:
    """A tool that appears there is announced and offered here."""
    async with (
        agent(gateways["http"]) as client,
        client.listen(tools_list_changed=True) as changes,
    ):
        before = {tool.name for tool in (await client.list_tools()).tools}
        await client.call_tool("fx_test_trigger_tool_change", {})
        assert await asyncio.wait_for(anext(changes), WAIT_SECONDS) == ToolsListChanged()
        after = {tool.name for tool in (await client.list_tools()).tools}
    assert len(after - before) == 1


# What an upstream learns of the agent


async def _capabilities(client: Client) -> list[str]:
    told = await client.call_tool("fx_tell_capabilities", {})
    return list(json.loads(text_of(told)))


async def test_an_upstream_sees_what_the_agent_that_waits_can_be_asked(
    gateways: dict[str, GatewayProcess],
) -> None:
    """Not what the gateway could pass on, and not what another agent declared."""
    async with (
        agent(gateways["http"], sampling_callback=sampled) as able,
        agent(gateways["http"]) as unable,
    ):
        assert await _capabilities(able) == ["sampling"]
        assert await _capabilities(unable) == []
        assert await _capabilities(able) == ["sampling"]


async def test_nothing_can_be_asked_when_no_one_waits(gateways: dict[str, GatewayProcess]) -> None:
    """A call that a person approves after it was answered is executed for an agent that declares nothing."""
    gateway = gateways["http"]
    async with agent(gateway, sampling_callback=sampled) as client:
        held = await client.call_tool("fx_tell_capabilities", {"is_held": True})
        case_id = reference_in(held)
        assert (await gateway.decide(case_id)).is_success
        ended = await client.call_tool("get_outcome", {"ref": case_id, "wait_seconds": 20})
    assert text_of(ended).endswith("[]")


@ERAS
async def test_the_meta_of_an_agent_stays_here(gateways: dict[str, GatewayProcess], era: str) -> None:
    """It is not part of what is approved; of it the level of logging alone is passed on."""
    async with agent(gateways["http"], era) as client:
        trace = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "tracestate": "agent=any-text"}
        meta: Any = {"com.example/secret": "not for you", LOG_LEVEL_META_KEY: "info"} | trace
        told = json.loads(text_of(await client.call_tool("fx_tell_meta", {}, meta=meta)))
    assert not {"com.example/secret", *trace} & told.keys()
    assert told.get(LOG_LEVEL_META_KEY) == ("info" if era != "legacy" else None)


# What an agent learns of the upstream


async def test_a_missing_capability_keeps_its_code_and_is_on_record(
    gateways: dict[str, GatewayProcess],
) -> None:
    """The agent's program gets the error of the protocol; with the capability the same call is done."""
    async with agent(gateways["http"]) as client:
        with pytest.raises(MCPError) as refusal:
            await client.call_tool("fx_test_missing_capability", {})
    assert refusal.value.error.code == MISSING_REQUIRED_CLIENT_CAPABILITY
    assert refusal.value.error.data == {"requiredCapabilities": {"sampling": {}}}
    async with agent(gateways["http"], sampling_callback=sampled) as client:
        assert text_of(await client.call_tool("fx_test_missing_capability", {})) == "The client can sample."


async def test_an_upstream_cannot_speak_as_the_gateway(gateways: dict[str, GatewayProcess]) -> None:
    """What only the gateway says beside a result is taken out; the rest of it is kept."""
    async with agent(gateways["http"]) as client:
        answer = await client.call_tool("fx_pose_as_gateway", {})
    assert text_of(answer) == "posed"
    assert answer.meta is not None and answer.meta["of.fixture/note"] == "kept"
    assert not [key for key in answer.meta if key.startswith("io.atlas/")]


async def test_an_agent_of_the_handshake_era_does_not_take_the_stateless_one_from_others(
    gateways: dict[str, GatewayProcess],
) -> None:
    """After its call another agent is still asked in the way of its own era."""
    async with agent(gateways["http"], "legacy") as client:
        await client.call_tool("fx_test_simple_text", {})

    async def filled_in(*_: Any) -> mt.ElicitResult:
        return mt.ElicitResult(action="accept", content={"name": "Alice"})

    async with agent(gateways["http"], elicitation_callback=filled_in) as client:
        answer = await client.call_tool("fx_test_input_required_result_elicitation", {})
    assert text_of(answer) == "Hello, Alice!"


@ERAS
async def test_a_schema_is_listed_as_its_server_wrote_it(
    gateways: dict[str, GatewayProcess], era: str
) -> None:
    """With its references, and every keyword of JSON Schema 2020-12."""
    async with agent(gateways["http"], era) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert listed["fx_json_schema_2020_12_tool"].input_schema == SCHEMA_2020_12
