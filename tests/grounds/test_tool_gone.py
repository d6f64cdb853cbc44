"""A tool that is not there for a moment: what was judged without it counts for nothing when it is back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from assessing import LENIENT, assessments_of, decisions_by
from fastmcp import FastMCP
from fastmcp.tools import Tool
from mcp.types import ToolAnnotations
from models_that_say import GOOD, Says, SaysLater
from sqlalchemy.engine import Connection
from store import approval, insert_case, open_case, open_store, settings_of_test, tool_call

from atlas import ledger
from atlas.admit import present_to_judge
from atlas.agents.held_calls import WaitingAgents
from atlas.cases.definitions import LONGEST_DEFINITION
from atlas.cases.store import CaseStore
from atlas.errors import CallChanged, CaseFinished, NotPermitted
from atlas.execute import Execution
from atlas.models import NO_TOOL, UPSTREAM_META, Case, Status
from atlas.people.notices import Notifier

DENIES_DESTRUCTION = '[[rule]]\ntool = "*"\nwhen = "tool.annotations.is_destructive == true"\ndeny = true\n'
PERSON = '[[rule]]\ntool = "check_status"\nscore = 80\n'
TWO_FOR_DESTRUCTION = """[[rule]]
tool = "*"
when = "tool.annotations.is_destructive == true"
approvals = 2
reviewers = ["sarah", "desk"]
"""


class Flapping:
    """A gateway whose one tool, of a server behind it, comes, changes and goes as the test likes."""

    def __init__(
        self, store: CaseStore, directory: Path, *, policy: str = LENIENT, model: Says | None = None
    ) -> None:
        self.store = store
        self.server = FastMCP("gateway")
        self.ran: list[str] = []
        self.come("Look.")
        self.assessments = assessments_of(store, directory, policy=policy, model=model, server=self.server)
        settings = settings_of_test(directory)
        self.execution = Execution(
            store=store,
            server=self.server,
            judge=self.assessments,
            tell=Notifier().tell,
            settings=settings,
            waiting=WaitingAgents(),
        )
        self.decisions = decisions_by(self.assessments, store)

    def go(self) -> None:
        """Have no tool."""
        with suppress(KeyError):
            self.server.local_provider.remove_tool("check_status")

    def come(self, description: str, *, is_destructive: bool = False) -> None:
        """Have it, with such a description."""

        def check_status(text: str) -> str:
            self.ran.append(text)
            return text

        self.go()
        hints = ToolAnnotations(destructive_hint=True) if is_destructive else None
        meta = {UPSTREAM_META: "files"}
        tool = Tool.from_function(check_status, description=description, meta=meta, annotations=hints)
        self.server.add_tool(tool)

    async def admitted(self, text: str) -> Case:
        """A call, as the admission records it."""
        tool, call = await self.server.get_tool("check_status"), tool_call("check_status", text=text)
        assert tool is not None

        def admit(connection: Connection) -> Case:
            case, _ = insert_case(connection, call, present_to_judge(tool).definition)
            detail = {"tool_name": call.tool_name, "arguments_sha256": call.arguments_sha256}
            ledger.append(
                connection, case.case_id, ledger.Action.ADMITTED, actor=call.principal, detail=detail
            )
            return case

        return await self.store.database.write(admit)

    async def refused(self, case: Case, reviewer: str = "sarah") -> str:
        """What a reviewer is told whose approval does not count."""
        newest = await self.store.read(case.case_id)
        with pytest.raises(CallChanged) as refusal:
            vote = approval(reviewer, round_number=newest.round_number)
            await self.decisions.record(newest.case_id, vote)
        return str(refusal.value)


@asynccontextmanager
async def flapping(
    directory: Path, *, policy: str = LENIENT, model: Says | None = None
) -> AsyncIterator[Flapping]:
    """Such a gateway, its store closed afterwards."""
    async with open_store(directory) as store:
        yield Flapping(store, directory, policy=policy, model=model)


async def test_a_call_that_is_judged_while_its_tool_is_gone_waits_for_a_person(tmp_path: Path) -> None:
    """Also where its rules let it pass: no one knows what would run."""
    async with flapping(tmp_path) as gateway:
        case = await gateway.admitted("1")
        gateway.go()
        case = await gateway.assessments.assess(case.case_id)
        assert case.status is Status.PENDING_REVIEW and case.assessment is not None
        assert case.assessment.definition_sha256 == NO_TOOL
        assert "The tool check_status is not there." in case.assessment.rationale


async def test_a_changed_tool_that_is_gone_while_its_call_is_judged_is_not_vouched_for(
    tmp_path: Path,
) -> None:
    """It does not run when it is back, although it is what it was at the admission."""
    async with flapping(tmp_path) as gateway:
        known = await gateway.assessments.assess((await gateway.admitted("1")).case_id)
        assert (await gateway.execution.execute(known.case_id)).status is Status.EXECUTED
        gateway.come("Delete everything.")
        case = await gateway.admitted("2")
        gateway.go()
        await gateway.assessments.assess(case.case_id)
        gateway.come("Delete everything.")
        assert (await gateway.execution.execute(case.case_id)).status is Status.PENDING_REVIEW
        told = await gateway.refused(case)
        assert "The tool check_status was not there when this call was judged." in told
        assert gateway.ran == ["1"]


@pytest.mark.parametrize("kind", [Says, SaysLater])
async def test_a_tool_that_comes_back_while_a_model_thinks_has_not_been_judged(
    tmp_path: Path, kind: type[Says]
) -> None:
    """The model was told of no tool."""

    def come_back() -> dict[str, object]:
        gateway.come("Delete everything.")
        return GOOD | {"risk_score": 0}

    async with flapping(tmp_path, model=kind(come_back)) as gateway:
        gateway.come("Delete everything.")
        case = await gateway.admitted("1")
        gateway.go()
        case = await gateway.assessments.assess(case.case_id)
        if case.inquiry is not None:
            assert case.inquiry.definition_sha256 == NO_TOOL
            gateway.come("Delete everything.")
            case = await gateway.assessments.assess(case.case_id)
        assert case.status is Status.PENDING_REVIEW and gateway.ran == []


async def test_what_the_policy_denies_of_a_tool_is_denied_although_it_was_gone_when_it_was_judged(
    tmp_path: Path,
) -> None:
    """A condition on what a tool declares says nothing of one that is not there."""
    async with flapping(tmp_path, policy=LENIENT + DENIES_DESTRUCTION) as gateway:
        gateway.come("Delete.", is_destructive=True)
        case = await gateway.admitted("1")
        gateway.go()
        await gateway.assessments.assess(case.case_id)
        gateway.come("Delete.", is_destructive=True)
        with pytest.raises(CaseFinished, match="DENIED"):
            await gateway.decisions.record(case.case_id, approval())
        assert (await gateway.execution.execute(case.case_id)).status is Status.DENIED
        assert gateway.ran == []


async def test_a_call_that_went_back_while_its_tool_was_gone_needs_as_many_approvals_when_it_is_back(
    tmp_path: Path,
) -> None:
    """And of the reviewers that the policy names for such a tool."""
    async with flapping(tmp_path, policy=PERSON + TWO_FOR_DESTRUCTION) as gateway:
        gateway.come("Delete.", is_destructive=True)
        case = await gateway.assessments.assess((await gateway.admitted("1")).case_id)
        for reviewer in ("sarah", "desk"):
            await gateway.decisions.record(case.case_id, approval(reviewer))
        gateway.go()
        gone = await gateway.execution.execute(case.case_id)
        assert gone.status is Status.PENDING_REVIEW and gone.definition_sha256 == case.definition_sha256
        assert gone.assessment is not None and gone.assessment.definition_sha256 == NO_TOOL
        assert "is not there" in await gateway.refused(case)
        gateway.come("Delete.", is_destructive=True)
        assert "was not there when" in await gateway.refused(case, "mallory")
        back = await gateway.store.read(case.case_id)
        assert back.assessment is not None and back.assessment.approvals == 2
        with pytest.raises(NotPermitted):
            await gateway.decisions.record(case.case_id, approval("mallory", round_number=3))
        for reviewer, status in (("sarah", Status.PENDING_REVIEW), ("desk", Status.AUTHORIZED)):
            vote = approval(reviewer, round_number=3)
            assert (await gateway.decisions.record(case.case_id, vote)).status is status
        assert (await gateway.execution.execute(case.case_id)).status is Status.EXECUTED
        assert gateway.ran == ["1"]


async def test_what_was_judged_and_approved_without_its_tool_is_not_executed_when_the_tool_is_there(
    tmp_path: Path,
) -> None:
    """A case from before definitions were recorded can be approved while its tool is gone."""
    async with flapping(tmp_path, policy=PERSON) as gateway:
        case = await open_case(gateway.store, tool_call("check_status", text="1"))
        gateway.go()
        await gateway.assessments.assess(case.case_id)
        approved = await gateway.decisions.record(case.case_id, approval())
        assert approved.status is Status.AUTHORIZED and approved.definition_sha256 is None
        gateway.come("Look.")
        back = await gateway.execution.execute(case.case_id)
        assert back.status is Status.PENDING_REVIEW and gateway.ran == []
        assert back.assessment is not None and back.assessment.reopened_because is not None
        assert "was not there when this call was judged" in back.assessment.reopened_because


async def test_a_denial_ends_a_call_although_its_tool_is_gone(tmp_path: Path) -> None:
    """It waits for no tool that would not be called."""
    async with flapping(tmp_path, policy=PERSON) as gateway:
        case = await gateway.assessments.assess((await gateway.admitted("1")).case_id)
        gateway.go()
        (tmp_path / "policy.toml").write_text('[[rule]]\ntool = "check_status"\ndeny = true\n')
        gateway.assessments._policy.reload()
        with pytest.raises(CaseFinished, match="DENIED"):
            await gateway.decisions.record(case.case_id, approval())
        assert (await gateway.store.read(case.case_id)).status is Status.DENIED


async def test_a_tool_whose_definition_has_grown_too_long_to_be_shown_counts_as_gone(tmp_path: Path) -> None:
    """No one can look at it, so no one can approve it; and what is judged meanwhile is for a person."""
    async with flapping(tmp_path, policy=PERSON) as gateway:
        case = await gateway.assessments.assess((await gateway.admitted("1")).case_id)
        later = await gateway.admitted("2")
        gateway.come("a" * LONGEST_DEFINITION)
        assert "The tool check_status is not there." in await gateway.refused(case)
        later = await gateway.assessments.assess(later.case_id)
        assert later.assessment is not None and later.assessment.definition_sha256 == NO_TOOL
        gateway.come("Look.")
        await gateway.decisions.record(case.case_id, approval())
        assert (await gateway.execution.execute(case.case_id)).status is Status.EXECUTED
