"""Admission: what becomes a case, what does not, and what the agent is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from kept import entries_in, refuse_inserts
from store import open_store, settings_of_test
from upstream_by_hand import ByHand, tool

from atlas.admit import INTENT, USER_REQUEST, Admission
from atlas.agents.get_outcome import add_get_outcome
from atlas.agents.held_calls import WaitingAgents
from atlas.cases.definitions import definition_of
from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.models import Case
from atlas.upstreams import Upstreams
from atlas.upstreams.config import _config
from atlas.upstreams.placeholders import Placeholders
from atlas.welfare import WelfareOffice, add_welfare_tools


class Admitted:
    """A server with the gate in front of the welfare tools, where nothing is ever executed."""

    def __init__(self, store: CaseStore, directory: Path) -> None:
        self.store = store
        self.announced: list[Case] = []
        settings = settings_of_test(directory, atlas_grace_seconds=0)
        gate = Admission(
            store=store, announce=self.announced.append, settings=settings, waiting=WaitingAgents()
        )
        self.server = FastMCP("gated", middleware=[gate])
        self.plain = FastMCP("plain")
        for server in (self.server, self.plain):
            add_welfare_tools(server, WelfareOffice(store.database))
        add_get_outcome(self.server, store)

    async def count(self) -> int:
        """How many cases there are."""
        query = sa.select(sa.func.count()).select_from(cases)
        return int(await self.store.database.read(lambda connection: connection.execute(query).scalar_one()))


@asynccontextmanager
async def admitted(directory: Path) -> AsyncIterator[Admitted]:
    """The server, and its store closed afterwards."""
    async with open_store(directory) as store:
        await WelfareOffice(store.database).seed()
        yield Admitted(store, directory)


async def answer(server: FastMCP, tool: str, arguments: dict[str, Any]) -> Any:
    """What a client gets."""
    async with Client(server) as client:
        return await client.call_tool(tool, arguments, raise_on_error=False)


CHANGES = "modify_welfare_record"
INVALID = [
    ("request_extension", {}, "beneficiary_id: missing required argument; days: missing"),
    (
        "request_extension",
        {"beneficiary_id": "BEN-123", "days": "soon", "reason": "ill"},
        "days: input should",
    ),
    (
        "request_extension",
        {"beneficiary_id": "BEN-123", "days": 0, "reason": "ill"},
        "days: input should be gr",
    ),
    (
        "request_extension",
        {"beneficiary_id": "BEN-123", "days": 1, "reason": "ill", "more": 1},
        "more: unexpec",
    ),
    ("check_status", {"beneficiary_id": 7}, "beneficiary_id: input should be a valid string"),
    (CHANGES, {"beneficiary_id": "BEN-123", "changes": []}, "changes: input should be"),
    (CHANGES, {"beneficiary_id": "BEN-123", "changes": {}}, "changes: give at least one of benefit, "),
    (CHANGES, {"beneficiary_id": "BEN-123", "changes": {"status": None}}, "changes: give at least one of"),
    (CHANGES, {"beneficiary_id": "BEN-123", "changes": {"name": "x"}}, "changes.name: extra inputs are not"),
    (
        CHANGES,
        {"beneficiary_id": "BEN-123", "changes": {"status": "gone"}},
        "changes.status: input should be",
    ),
    (
        CHANGES,
        {"beneficiary_id": "BEN-123", "changes": {"monthly_amount_eur": True}},
        "whole number of euros",
    ),
    (CHANGES, {"beneficiary_id": "BEN-123", "changes": {"monthly_amount_eur": "9"}}, "whole number of euros"),
    ("get_outcome", {}, "ref: missing required argument"),
    ("get_outcome", {"ref": 7}, "ref: input should be a valid string"),
    ("get_outcome", {"ref": "evt_0123456789abcdef", "wait": 1}, "wait: unexpected keyword argument"),
    (
        "get_outcome",
        {"ref": "evt_0123456789abcdef", "wait_seconds": "soon"},
        "wait_seconds has to be a whole n",
    ),
    (
        "get_outcome",
        {"ref": "evt_0123456789abcdef", "wait_seconds": True},
        "wait_seconds has to be a whole nu",
    ),
    ("no_such_tool", {}, "Unknown tool: 'no_such_tool'"),
]


@pytest.mark.parametrize(("tool", "arguments", "sentence"), INVALID)
async def test_an_invalid_call_gets_a_sentence_and_opens_no_case(
    tmp_path: Path, tool: str, arguments: dict[str, Any], sentence: str
) -> None:
    """People are not asked about calls that could never run; no address of the validator is in it."""
    async with admitted(tmp_path) as gated:
        add_get_outcome(gated.server, gated.store)
        refused = await answer(gated.server, tool, arguments)
        assert refused.is_error and sentence in refused.content[0].text
        assert "http" not in refused.content[0].text and "input_value" not in refused.content[0].text
        assert await gated.count() == 0


@pytest.mark.parametrize("number", [2**53, -(2**53), 10**30])
async def test_a_number_without_a_canonical_form_is_refused(tmp_path: Path, number: int) -> None:
    """Two numbers that differ must not have one digest."""
    async with admitted(tmp_path) as gated:

        @gated.server.tool
        def count_to(number: int) -> str:
            return str(number)

        result = await answer(gated.server, "count_to", {"number": number})
        text = result.content[0].text
        assert result.is_error and "canonical form" in text
        assert "number is beyond ±9007199254740991" in text and "Nothing was done. Send it as a text" in text
        assert await gated.count() == 0


async def test_what_of_a_servers_schema_no_one_could_check_is_on_record(tmp_path: Path) -> None:
    """Right: the call goes to the reviewer, and the ledger names what only the server will check."""
    schema = {"type": "object", "properties": {"id": {"type": "int"}, "n": {"type": "integer"}}}
    server = ByHand(tools=[tool("do", inputSchema=schema), tool("plain")])
    async with admitted(tmp_path) as gated, server.listening() as entry:
        config = _config("far", entry, Placeholders({}, Path("mcp.json")))
        assert config is not None
        upstreams = Upstreams((config,))
        upstreams.mount(gated.server)
        async with upstreams.open(gated.server):
            assert not (await answer(gated.server, "far_do", {"id": 5})).is_error
            assert not (await answer(gated.server, "far_plain", {})).is_error
            refused = await answer(gated.server, "far_do", {"id": 5, "n": "5"})
        [oddity] = upstreams.report()["far"]["oddities"]
        first, second = [entry["detail"] for entry in entries_in(tmp_path)]
    assert first["not_checked"] == ["properties.id.type"] and "not_checked" not in second
    assert oddity.startswith("its tool do has a schema") and oddity.endswith("checks properties.id.type")
    assert refused.is_error and "send 5 as JSON" in refused.content[0].text


async def test_a_valid_call_is_recorded_and_announced_and_the_agent_gets_its_reference(
    tmp_path: Path,
) -> None:
    """The text starts exactly as agents are taught to read it."""
    async with admitted(tmp_path) as gated:
        result = await answer(gated.server, "check_status", {"beneficiary_id": "BEN-123"})
        (case,) = gated.announced
        notice = f"PENDING REVIEW (Ref: {case.case_id}). Action queued subject to governance checks.\n"
        assert result.content[0].text.startswith(notice) and "get_outcome" in result.content[0].text
        assert not result.is_error
        assert await gated.store.read(case.case_id) == case


async def test_the_definition_of_the_tool_and_what_the_agent_claims_are_recorded_with_the_call(
    tmp_path: Path,
) -> None:
    """In the case and in its first ledger entry, where the claims are marked as such."""
    async with admitted(tmp_path) as gated, Client(gated.server) as agent:
        meta = {INTENT: "look up the due date", USER_REQUEST: 7}
        await agent.call_tool("check_status", {"beneficiary_id": "BEN-123"}, meta=meta)
        await agent.call_tool("check_status", {"beneficiary_id": "BEN-124"})
        claiming, silent = gated.announced
        tool = await gated.plain.get_tool("check_status")
        assert tool is not None and claiming.definition_sha256 == definition_of(tool).sha256
        first, second = [entry["detail"] for entry in entries_in(tmp_path)]
    assert first["definition_sha256"] == claiming.definition_sha256 == silent.definition_sha256
    assert first["agent_claims"] == {"intent": "look up the due date"} and "agent_claims" not in second


async def test_a_request_of_four_thousand_characters_is_recorded_whole_and_a_longer_one_is_cut(
    tmp_path: Path,
) -> None:
    """Real requests of users are that long, and what stands at their end counts as well."""
    async with admitted(tmp_path) as gated, Client(gated.server) as agent:
        for number, length in enumerate((4000, 4001)):
            meta = {USER_REQUEST: "a" * (length - 1) + "z"}
            await agent.call_tool("check_status", {"beneficiary_id": f"BEN-{number}"}, meta=meta)
        whole, cut = (case.call.user_request for case in gated.announced)
    assert whole == "a" * 3999 + "z" and cut == "a" * 4000


async def test_the_same_call_while_the_first_is_unfinished_gets_the_same_reference(tmp_path: Path) -> None:
    """An agent that retries asks no one twice; key order and number spelling make no difference."""
    async with admitted(tmp_path) as gated:
        first = {"beneficiary_id": "BEN-123", "changes": {"status": "ended", "monthly_amount_eur": 1}}
        again = {"changes": {"monthly_amount_eur": 1.0, "status": "ended"}, "beneficiary_id": "BEN-123"}
        other = {"beneficiary_id": "BEN-124", "changes": first["changes"]}
        texts = await asyncio.gather(
            *(
                answer(gated.server, "modify_welfare_record", arguments)
                for arguments in (first, again, first, other)
            )
        )
        references = [result.content[0].text for result in texts]
        assert references[0] == references[1] == references[2] != references[3]
        assert await gated.count() == 2 and len(gated.announced) == 2


async def test_tools_are_listed_without_output_schemas(tmp_path: Path) -> None:
    """A pending notice fits none, and clients raise on a misfit."""
    async with admitted(tmp_path) as gated, Client(gated.server) as client, Client(gated.plain) as plain:
        assert any(tool.output_schema for tool in await plain.list_tools())
        tools = {tool.name: tool for tool in await client.list_tools()}
    assert set(tools) == {
        "check_status",
        "request_extension",
        "request_payment_extension",
        "modify_welfare_record",
        "get_outcome",
    }
    assert not any(tool.output_schema for tool in tools.values())
    assert all(tool.title and tool.description and tool.annotations for tool in tools.values())


async def test_a_call_that_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    """A full or read-only disk stops the call, not the recording."""
    async with admitted(tmp_path) as gated:

        def forbid(connection: sa.Connection) -> None:
            for statement in refuse_inserts("cases"):
                connection.exec_driver_sql(statement)

        await gated.store.database.write(forbid)
        result = await answer(gated.server, "check_status", {"beneficiary_id": "BEN-123"})
        assert result.is_error and "cannot record it" in result.content[0].text
        assert gated.announced == []


async def test_an_agent_that_hangs_up_leaves_a_case_behind_that_is_complete(tmp_path: Path) -> None:
    """Recorded is recorded, also when no one listens any more."""
    async with open_store(tmp_path) as store:
        await WelfareOffice(store.database).seed()
        gated = Admitted(store, tmp_path)
        gated.server.middleware.clear()
        patient = settings_of_test(tmp_path, atlas_grace_seconds=30)
        gated.server.add_middleware(
            Admission(store=store, announce=gated.announced.append, settings=patient, waiting=WaitingAgents())
        )
        async with Client(gated.server) as client:
            call = asyncio.create_task(client.call_tool("check_status", {"beneficiary_id": "BEN-123"}))
            while not gated.announced:
                await asyncio.wait({call}, timeout=0.01)
            call.cancel()
            with pytest.raises((asyncio.CancelledError, ToolError)):
                await call
        assert await gated.count() == 1
