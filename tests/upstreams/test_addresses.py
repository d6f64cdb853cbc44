"""Addresses that a server writes are those that its agents can read, wherever it writes them."""

from pathlib import Path
from typing import Any

import pytest
from acceptance.test_told_truly import behind
from fastmcp import Client
from gateway_process import OTHER_AGENT_KEY, call
from mcp import MCPError
from upstream_by_hand import ByHand, tool
from upstream_process import fronted

from atlas.upstreams.config import Transport, UpstreamConfig

ADDRESSES = [
    "notes://team/a",
    "ui://show/page.html",
    "file:///srv/a b.md",
    "urn:isbn:0451450523",
    "mailto:a@example.test",
    "docs/readme.md",
    "/srv/readme.md",
    "./readme.md?as=text#top",
    "Notes://Team/A%20b",
    "x://far/twice",
]


def holding(address: str, *, is_listed: bool) -> ByHand:
    """A server that names an address in all places, and gives what is read there."""
    page = {"ui": {"resourceUri": address}, "ui/resourceUri": address, "kept": address}
    listed = [{"uri": address, "name": "one"}] if is_listed else []
    server = ByHand(tools=[tool("name", _meta=page)], resources=listed, prompts=[{"name": "ask"}])
    link = {"type": "resource_link", "uri": address, "name": "one"}
    embedded = {"type": "resource", "resource": {"uri": address, "text": "inside"}}

    def answer(message: dict[str, Any]) -> dict[str, Any] | None:
        if message["method"] == "tools/call":
            return {"result": {"content": [link, embedded, {"type": "text", "text": address}], "_meta": page}}
        if message["method"] == "prompts/get":
            return {"result": {"messages": [{"role": "user", "content": one} for one in (link, embedded)]}}
        if message["method"] == "resources/read" and message["params"]["uri"] == address:
            return {"result": {"contents": [{"uri": address, "text": "read"}]}}
        return None

    server.answer = answer
    return server


@pytest.mark.parametrize("prefix", ["far", ""])
@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("address", ADDRESSES)
async def test_what_a_tool_names_can_be_read(address: str, is_listed: bool, prefix: str) -> None:
    """Right: links, embedded resources and pages of apps have the address of the list, and it is read.

    An address that is not listed can be read once a tool has named it, where the prefix says whose it is.
    Text is the server's, and stays as it is.
    """
    server = holding(address, is_listed=is_listed)
    async with (
        server.listening() as entry,
        fronted(far=entry | {"atlas": {"prefix": prefix}}) as front,
        Client(front.server, mode="legacy") as agent,
    ):
        await front.until_there("far")
        [listed_tool] = [one for one in await agent.list_tools() if one.name != "get_outcome"]
        result = await agent.call_tool(listed_tool.name, {})
        [prompt] = await agent.list_prompts()
        messages = (await agent.get_prompt(prompt.name)).messages
        here = str(result.content[0].uri)
        if is_listed or prefix:
            [read] = (await agent.session.read_resource(here)).contents
            assert read.text == "read"
            if ":" in here:  # FastMCP's client writes a URL as browsers do, and takes no relative one
                [read] = await agent.read_resource(here)
                assert read.text == "read"
        listed = [str(one.uri) for one in await agent.list_resources()]
    assert listed == ([here] if is_listed else [])
    assert (here == address) is (not prefix)
    assert str(result.content[1].resource.uri) == here and result.content[2].text == address
    assert str(messages[0].content.uri) == str(messages[1].content.resource.uri) == here
    for meta in (listed_tool.meta, result.meta):
        assert meta["ui"]["resourceUri"] == meta["ui/resourceUri"] == here and meta["kept"] == address


async def test_a_page_of_the_web_stays_what_it_is_unless_it_is_listed() -> None:
    """Right: a client fetches it itself; under another address it would be another page."""
    for is_listed in (False, True):
        server = holding("https://example.test/page", is_listed=is_listed)
        async with server.listening() as entry, fronted(far=entry) as front:
            await front.until_there("far")
            result = await front.call("far_name")
        here = "https://far/example.test/page" if is_listed else "https://example.test/page"
        assert str(result.content[0].uri) == here


@pytest.mark.parametrize("address", [*ADDRESSES, "https://example.test/a", "{all*}", "x://{id}/a"])
def test_an_address_comes_back_as_it_was(address: str) -> None:
    """Right: the server reads the very address that it wrote."""
    config = UpstreamConfig(name="far", way=Transport.HTTP, prefix="far")
    assert config.uri_here(address) != address
    assert config.uri_there(config.uri_here(address)) == address


def echoing() -> ByHand:
    """A server that reads any address, whose prompt echoes one, and whose tool names one."""
    server = ByHand(tools=[tool("now")], prompts=[{"name": "ask", "arguments": [{"name": "uri"}]}])

    def link(uri: str) -> dict[str, Any]:
        return {"type": "resource_link", "uri": uri, "name": "one"}

    def answer(message: dict[str, Any]) -> dict[str, Any] | None:
        params = message.get("params", {})
        if message["method"] == "tools/call":
            return {"result": {"content": [link("report://job/1")]}}
        if message["method"] == "prompts/get":
            said = {"role": "user", "content": link(params["arguments"]["uri"])}
            return {"result": {"messages": [said]}}
        if message["method"] == "resources/read":
            return {"result": {"contents": [{"uri": params["uri"], "text": "read"}]}}
        return None

    server.answer = answer
    return server


async def is_readable(agent: Client[Any], uri: str) -> bool:
    """Whether an agent reads it; a refusal says that there is none."""
    try:
        [read] = await agent.read_resource(uri)
    except MCPError as error:
        assert "not found" in str(error).lower() or "unknown" in str(error).lower(), str(error)
        return False
    return bool(read.text == "read")


async def test_what_was_named_to_one_agent_in_its_call_is_readable_to_it_alone(tmp_path: Path) -> None:
    """Right: a read has no decision, so only a call that had one opens an address, and to its agent alone.
    A prompt that echoes what an agent wrote opens nothing, to that agent or to another."""
    server = echoing()
    async with (
        behind(tmp_path, server, ATLAS_GRACE_SECONDS="20") as gateway,
        gateway.agent() as one,
        gateway.agent(OTHER_AGENT_KEY) as other,
    ):
        for agent in (one, other):
            await agent.get_prompt("far_ask", {"uri": "doc://private/a"})
        assert [await is_readable(agent, "doc://far/private/a") for agent in (one, other)] == [False, False]
        assert not await is_readable(one, "report://far/job/1")
        named = await call(one, "far_now")
        assert str(named.content[0].uri) == "report://far/job/1"
        assert [await is_readable(agent, "report://far/job/1") for agent in (one, other)] == [True, False]
    assert server.asked.count("resources/read") == 1
