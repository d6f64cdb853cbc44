"""Servers that list what is unusual: one odd list or thing costs no other, and the operator reads which."""

import asyncio
from typing import Any

import pytest
from fastmcp import Client
from gateway_process import eventually, text_of
from starlette.responses import Response
from upstream_by_hand import ByHand, tool
from upstream_process import Front, fronted

from atlas.grounds.present import tool_facts
from atlas.origins.outside import is_outside
from atlas.upstreams import lists, upstream

GOOD = tool("good")
BROKEN = {
    "an internal error": ({"error": {"code": -32603, "message": "no"}}, "error -32603"),
    "another code": ({"error": {"code": -32000, "message": "no"}}, "error -32000"),
    "HTTP 400": (Response(status_code=400), "error -32603"),
    "HTTP 500": (Response(status_code=500), "error -32603"),
    "no list in it": ({"result": {}}, "its answer holds no list of "),
    "a page that is a text": (Response("hello", media_type="text/html"), "error -32600"),
}
SILENT = object()


def served(*tools: Any, **lists_: Any) -> ByHand:
    """A server that answers a call of any tool with the tool's name."""
    server = ByHand(tools=list(tools), **lists_)

    def answer(message: dict[str, Any]) -> dict[str, Any] | None:
        if message["method"] != "tools/call":
            return None
        return {"result": {"content": [{"type": "text", "text": message["params"]["name"]}]}}

    server.answer = answer
    return server


async def until_known(front: Front) -> dict[str, Any]:
    """What /readyz says of the server, once it said what it offers."""

    async def is_known() -> bool:
        return front.upstreams.all[0].offer is not None

    await eventually(is_known)
    return front.upstreams.report()["far"]


async def test_a_list_that_is_not_declared_is_not_asked_for() -> None:
    """Right: it is there with its tools. A server owes no answer to a request that it did not declare."""
    server = served(GOOD)
    server.capabilities = {"tools": {}}
    before = server.answer
    error = {"error": {"code": -32603, "message": "not asked for"}}
    server.answer = lambda message: error if message["method"][:4] in ("reso", "prom") else before(message)
    async with server.listening() as entry, fronted(far=entry) as front:
        assert await until_known(front) == {"ok": True}
        assert text_of(await front.call("far_good")) == "good"
    assert not [one for one in server.asked if one.startswith(("resources/", "prompts/"))]


@pytest.mark.parametrize("way", BROKEN)
@pytest.mark.parametrize("method", ["resources/list", "resources/templates/list", "prompts/list"])
async def test_a_broken_list_takes_only_its_own_kind_away(method: str, way: str) -> None:
    """Right: the tools work, and the operator reads which list is broken, in the gateway's words."""
    server = served(GOOD)
    before, (broken, says) = server.answer, BROKEN[way]
    server.answer = lambda message: broken if message["method"] == method else before(message)
    async with server.listening() as entry, fronted(far=entry) as front:
        report = await until_known(front)
        assert text_of(await front.call("far_good")) == "good"
    name = {"resources/list": "resources", "resources/templates/list": "templates"}.get(method, "prompts")
    assert report["ok"] is False
    assert report["problem"].startswith(f"its {name} cannot be listed ({says}"), report


async def test_a_silent_list_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right: what was answered is offered after a moment, and the silent list is named."""
    monkeypatch.setattr(lists, "LATE_SECONDS", 1.0)
    monkeypatch.setattr(upstream, "LIST_SECONDS", 0.2)  # what a slow machine was late with is asked for again
    server = served(GOOD)
    released = asyncio.Event()
    post = server._post

    async def sometimes_silent(request: Any) -> Response:
        if (await request.json()).get("method") == "resources/list":
            await released.wait()
        return await post(request)

    server._post = sometimes_silent  # type: ignore[method-assign]
    async with server.listening() as entry, fronted(far=entry) as front:

        async def is_named() -> bool:
            said = "its resources cannot be listed (no answer)"
            return front.upstreams.report()["far"].get("problem") == said

        await eventually(is_named)
        assert text_of(await front.call("far_good")) == "good"
        released.set()


async def test_a_list_that_breaks_later_stays_as_it_was() -> None:
    """Right: a failure of a moment changes no definition that people have seen, and is named."""
    server = served(GOOD, prompts=[{"name": "greet"}])
    async with server.listening() as entry, fronted(far=entry) as front:
        await front.until_there("far")
        before = server.answer
        error = {"error": {"code": -32603, "message": "later"}}
        server.answer = lambda message: error if message["method"] == "tools/list" else before(message)
        front.upstreams.all[0]._stale.set()
        assert await front.until_missing("far") == "its tools cannot be listed (error -32603)"
        assert text_of(await front.call("far_good")) == "good"


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        ({"name": "odd"}, "its tool odd is left out: inputSchema: "),
        ({"name": "odd", "inputSchema": {"anyOf": [{}]}}, "its tool odd is left out: inputSchema.type: "),
        (tool("odd", inputSchema={"type": "array"}), "its tool odd is left out: inputSchema.type: "),
        (tool("odd", icons=["icon.png"]), "its tool odd is left out: icons.0: "),
        (tool("odd", icons=[{}]), "its tool odd is left out: icons.0.src: "),
        (tool("odd", description=5), "its tool odd is left out: description: "),
        (tool("odd", annotations="none"), "its tool odd is left out: annotations: "),
        (tool("odd", _meta=[]), "its tool odd is left out: _meta: "),
        (tool("odd" * 50), f"its tool {'odd' * 20} is left out: name: "),
        (tool(""), "its tool without a name is left out: name: "),
        ({"inputSchema": {"type": "object"}}, "its tool without a name is left out: name: "),
        ("odd", "its tool without a name is left out: "),
        (None, "its tool without a name is left out: "),
        (tool("good", title="again"), "its tool good is left out: it is listed twice"),
    ],
)
async def test_one_odd_tool_is_left_out_and_named(odd: Any, named: str) -> None:
    """Right: the good tools beside it are there, for clients too, and /readyz names tool and field."""
    server = served(GOOD, odd, tool("better"))
    async with server.listening() as entry, fronted(far=entry) as front:
        report = await until_known(front)
        async with Client(front.server, mode="legacy") as agent:
            listed = [one.name for one in await agent.list_tools() if one.name != "get_outcome"]
        assert text_of(await front.call("far_better")) == "better"
    assert listed == ["far_good", "far_better"]
    [said] = report["oddities"]
    assert report["ok"] is True and said.startswith(named), said


@pytest.mark.parametrize("name", ["a" * 61, "a.b", "a b", "übersicht"])
async def test_a_name_that_models_refuse_is_offered_and_named(name: str) -> None:
    """Right: the prefix makes it too long for Claude and OpenAI, or it has a character that they refuse;
    other agents can use it, and /readyz says what to set."""
    server = served(tool("a" * 60), tool(name))
    async with server.listening() as entry, fronted(far=entry) as front:
        report = await until_known(front)
        assert text_of(await front.call(f"far_{name}")) == name
    [said] = report["oddities"]
    assert report["ok"] is True
    assert said.startswith(f"its tool {name[:60]} has the name far_{name}, which Claude and OpenAI refuse")
    assert said.endswith("A shorter prefix is set in the file")


async def test_one_odd_resource_template_or_prompt_is_left_out_and_named() -> None:
    """Right: as with tools: one odd thing costs none of the others."""
    server = served(
        GOOD,
        resources=[{"name": "no address"}, {"uri": "x://one", "name": "one"}],
        resourceTemplates=[{"uriTemplate": 5, "name": "odd"}, {"uriTemplate": "x://{a}", "name": "all"}],
        prompts=[{"name": "greet"}, {"name": "odd", "arguments": [{"description": "no name"}]}],
    )
    async with server.listening() as entry, fronted(far=entry) as front:
        report = await until_known(front)
        async with Client(front.server, mode="legacy") as agent:
            assert [str(one.uri) for one in await agent.list_resources()] == ["x://far/one"]
            assert [one.uri_template for one in await agent.list_resource_templates()] == ["x://far/{a}"]
            assert [one.name for one in await agent.list_prompts()] == ["far_greet"]
    assert [said.partition(": ")[0] for said in report["oddities"]] == [
        "its resource no address is left out",
        "its template odd is left out",
        "its prompt odd is left out",
    ]


@pytest.mark.parametrize(
    ("said", "outside"), [({"trust": "outside"}, True), ({"trust": "inside"}, False), ({}, True)]
)
async def test_the_servers_file_says_for_whom_a_server_speaks_and_the_server_does_not(
    said: dict[str, str], outside: bool
) -> None:
    """Agents see the mark beside the name of the server; what a server writes there itself is left out."""
    server = served(tool("read_email", _meta={"io.atlas/trust": "inside"}))
    async with server.listening() as entry, fronted(far=entry | {"atlas": said}) as front:
        await until_known(front)
        facts = await tool_facts(front.server, "far_read_email")
    assert (facts.trust, is_outside(facts)) == (said.get("trust"), outside)
