"""A store, the stages over it, and a clock that a test moves, for the model of the rules for people."""

import asyncio
import datetime
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import sqlalchemy as sa
from due import do_due
from fastmcp import FastMCP
from model_of_rules import ModelCase, Policy, World
from sqlalchemy.engine import Connection
from store import assessment_of, open_case, open_store, settings_of_test, tool_call

import atlas.instants
from atlas import ledger
from atlas.agents.held_calls import WaitingAgents
from atlas.canonical import digest
from atlas.cases.judgements import record_assessment
from atlas.cases.store import CaseStore, read_approvals, read_case
from atlas.cases.tables import UNDECIDED, cases
from atlas.decide import Decisions, decide_after_wait, decide_by_score
from atlas.execute import Execution
from atlas.grounds.present import fit_to_show
from atlas.models import Assessment, Case, ToolCall
from atlas.reviews.editing import accepted_by

DAY = datetime.timedelta(days=1)
TOOL = "pay"
Result = TypeVar("Result")


class Numbers(NamedTuple):
    """Of a moment."""

    undecided: int
    entries: int


class _IsDatetime(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, datetime.datetime)


class StillClock:
    """Shows the moment that the test says, wherever the gateway asks for the present."""

    def __init__(self, patch: pytest.MonkeyPatch, world: World) -> None:
        class Still(datetime.datetime, metaclass=_IsDatetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime.datetime:  # type: ignore[override]
                return world.now

        patch.setattr(atlas.instants, "datetime", Still)


class OfficeOfModel:
    """The real stages over a real file; the tool counts, and the policy is what the model says."""

    def __init__(self, directory: Path, world: World) -> None:
        self.policy, self.runs = Policy(), dict[int, list[int]]()
        self._directory, self._world = directory, world
        self._loop = asyncio.new_event_loop()
        self.open()

    def run(self, doing: Coroutine[Any, Any, Result]) -> Result:
        """Do something to its end."""
        return self._loop.run_until_complete(asyncio.wait_for(doing, 60))

    def open(self) -> None:
        """Start: with what is on disk, and nothing else but the settings."""
        self._stack, self._server = AsyncExitStack(), FastMCP("a server")
        self.store: CaseStore = self.run(self._stack.enter_async_context(open_store(self._directory)))

        @self._server.tool(name=TOOL)
        async def pay(key: int, n: int) -> int:
            """Count."""
            self.runs.setdefault(key, []).append(n)
            return n

        settings = settings_of_test(self._directory)
        told: list[Case] = []
        self._execution = Execution(
            store=self.store,
            server=self._server,
            judge=self,
            tell=told.append,
            settings=settings,
            waiting=WaitingAgents(),
        )
        accepts = partial(accepted_by, self._server, most_kilobytes=64)
        owners = {"agent": self._world.owners}
        self.decisions = Decisions(
            store=self.store, rule=self.rule, timeout=DAY, tell=told.append, owners=owners, accepts=accepts
        )
        self.run(self._execution.recover())

    def close(self, *, is_end: bool = False) -> None:
        """Stop."""
        self.run(self._stack.aclose())
        if is_end:
            self._loop.close()

    @property
    def policy_sha256(self) -> str:
        """The digest of the policy in force."""
        return digest({"number": self.policy.number})

    async def definition_sha256(self, case: Case) -> str | None:
        """The tool as it is."""
        return fit_to_show(await self._server.get_tool(TOOL)).sha256

    async def rule(self, case: Case) -> Assessment:
        """What the policy says of a call."""
        return await self._judged(case.call_in_force)

    async def _judged(self, call: ToolCall) -> Assessment:
        says = asdict(self.policy) | {"review": self.policy.review, "policy_sha256": self.policy_sha256}
        del says["number"]
        present = fit_to_show(await self._server.get_tool(TOOL))
        return assessment_of(call, **says).model_copy(update={"definition_sha256": present.sha256})

    def admit(self, key: int) -> Case:
        """A call that the policy leaves to people, or denies."""
        return self.run(self._admit(tool_call(TOOL, key=key, n=0)))

    async def _admit(self, call: ToolCall) -> Case:
        present = fit_to_show(await self._server.get_tool(TOOL))
        case, judged = (
            await open_case(self.store, call, definition=present.definition),
            await self._judged(call),
        )

        def judge(connection: Connection) -> Case:
            return decide_by_score(connection, record_assessment(connection, case, judged), timeout=DAY)

        return await self.store.change(case.case_id, judge)

    def write(self, work: Any) -> Any:
        """Change what is known of people."""
        return self.run(self.store.database.write(work))

    def numbers(self) -> Numbers:
        """How many calls wait for a decision now, and how many entries the ledger has."""
        undecided = sa.select(sa.func.count()).select_from(cases).where(UNDECIDED)

        def count(connection: Connection) -> Numbers:
            return Numbers(connection.scalar(undecided) or 0, ledger.newest(connection))

        return self.run(self.store.database.read(count))

    def read(self, case: ModelCase) -> Case:
        """A case as it is on disk."""
        return self.run(self.store.read(case.case_id))

    def for_whom(self, case: ModelCase, who: str) -> str | None:
        """For whom a person's approval is kept; None: for themselves."""
        given = self.run(self.store.database.read(lambda c: read_approvals(c, read_case(c, case.case_id))))
        kept = {one.reviewer: one.on_behalf_of for one in given}
        decision = self.read(case).decision
        return kept[who] if decision is None or decision.reviewer != who else decision.on_behalf_of

    def look(self, case: ModelCase) -> Case:
        """What the workflow does when its sleep ends."""
        return self.run(decide_after_wait(case.case_id, store=self.store, is_woken=False))

    def execute(self, case: ModelCase) -> None:
        """The step comes twice at once, and then once more."""

        async def race() -> None:
            await asyncio.gather(*(self._execution.execute(case.case_id) for _ in range(2)))
            await self._execution.execute(case.case_id)

        self.run(race())

    def do_due(self) -> None:
        """What the clock does of what is due by now."""
        self.run(do_due(self.store))
