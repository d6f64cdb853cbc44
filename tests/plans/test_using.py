"""A plan that let a call pass has to hold when the call begins; else the call goes to a person."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastmcp import FastMCP
from kept import entries_in, without_trigger
from sqlalchemy.engine import Connection
from store import assessment_of, open_case, open_store, rejection, ruling, settings_of_test, tool_call
from store import decisions as decisions_of

from atlas.agents.held_calls import WaitingAgents
from atlas.assessors import ToolFacts
from atlas.cases.figures.period import FiguresKept
from atlas.cases.figures.tallies import Answer, Ending
from atlas.cases.store import CaseStore, add_assessment
from atlas.cases.tables import cases
from atlas.decide import decide_by_score
from atlas.errors import PlanRefused
from atlas.execute import Execution
from atlas.instants import now
from atlas.models import Assessment, Case, Status
from atlas.people.person import Person, Way
from atlas.people.records import keeping
from atlas.plans.fitting import Fit, may_pass
from atlas.plans.making import MOST_OF_TOOL, PlanBook, Wish
from atlas.plans.plan import read_plan
from atlas.plans.tables import plan_uses, plans
from atlas.review_rules import ReviewRules

SHA = "1" * 64
ANNA = Person(name="anna", way=Way.KEY)


class Office:
    """A store, a plan of anna for two calls of `note`, and what executes them."""

    def __init__(self, store: CaseStore, directory: Path) -> None:
        self.store = store
        self.directory = directory
        self.calls: list[str] = []
        server = FastMCP("office")
        settings = settings_of_test(directory)
        self.execution = Execution(
            store=store,
            server=server,
            judge=self,
            tell=lambda case: None,
            settings=settings,
            waiting=WaitingAgents(),
        )

        @server.tool
        async def note(text: str) -> str:
            """Note a text."""
            self.calls.append(text)
            return text

    policy_sha256 = "0" * 64
    sha256: str | None = None  # of the definition that the judge finds; the server's own is not looked at

    async def definition_sha256(self, case: Case) -> str | None:
        """As it was judged."""
        return case.definition_sha256

    async def rule(self, case: Case) -> Assessment:
        """The policy in force says the same."""
        return judged(case)

    async def plan(self) -> str:
        """A plan for two calls."""
        server_definition = await self._definition()

        class InForce:
            sha256 = "0" * 64

            @staticmethod
            async def renew() -> None:
                """It is the newest."""

            class policy:
                sha256 = "0" * 64
                threshold = 70

                @staticmethod
                def at_least(tool: ToolFacts) -> Any:
                    return ruling(review=ReviewRules(allows_plans=True))

        async def tool(name: str) -> ToolFacts:
            return ToolFacts(name=name, definition_sha256=server_definition)

        book = PlanBook(self.store.database, policy=InForce, tool=tool, owners={}, agents=())  # type: ignore[arg-type]
        self.book = book
        wish = Wish(tool="note", most_calls=2, ends_at=now() + timedelta(hours=1), reason="A test.")
        return (await book.make(ANNA, wish)).plan_id

    async def _definition(self) -> str:
        from atlas.grounds.present import tool_facts

        facts = await tool_facts(self.execution._server, "note")
        assert facts.definition_sha256 is not None
        self.sha256 = facts.definition_sha256
        return facts.definition_sha256

    async def passed(self, plan_id: str, text: str) -> Case:
        """A call that the plan let pass and that has not begun."""
        case = await open_case(self.store, tool_call("note", text=text))

        def decide(connection: Connection) -> Case:
            bound = {"definition_sha256": self.sha256}
            connection.execute(cases.update().where(cases.c.case_id == case.case_id).values(bound))
            found = case.model_copy(update=bound)
            found = add_assessment(connection, found, judged(found))
            return decide_by_score(connection, found, timeout=timedelta(days=1), plans=[Fit(plan_id=plan_id)])

        return await self.store.change(case.case_id, decide)


def judged(case: Case, **review: Any) -> Assessment:
    """A call for which a person decides, or a plan."""
    rules = ReviewRules(**({"allows_plans": True} | review))
    said = assessment_of(case.call, 80, review=rules)
    return said.model_copy(update={"definition_sha256": case.definition_sha256})


@asynccontextmanager
async def office(directory: Path) -> AsyncIterator[Office]:
    """An office, closed afterwards."""
    async with open_store(directory) as store:
        yield Office(store, directory)


async def test_a_plan_that_is_stopped_before_the_call_begins_sends_it_to_a_person(tmp_path: Path) -> None:
    """The use stays counted; the call waits, and is not lost."""
    async with office(tmp_path) as here:
        plan_id = await here.plan()
        first, second = [await here.passed(plan_id, text) for text in ("a", "b")]
        assert (first.status, second.status) == (Status.AUTHORIZED, Status.AUTHORIZED)
        assert (await here.execution.execute(first.case_id)).status is Status.EXECUTED
        await here.book.stop(plan_id, ANNA)
        back = await here.execution.execute(second.case_id)
        assert back.status is Status.PENDING_REVIEW and back.round_number == 2 and back.plan is None
        assert back.assessment is not None and back.assessment.reopened_because is not None
        assert f"The plan {plan_id} of anna was stopped by anna." in back.assessment.reopened_because
        assert here.calls == ["a"]
        assert (await here.execution.execute(second.case_id)).status is Status.PENDING_REVIEW
        plan = await here.store.database.read(lambda connection: read_plan(connection, plan_id))
        assert plan is not None and plan.used == 2


@pytest.mark.parametrize("change", [{"ends_at": now()}, {"stopped_at": now(), "stopped_by": "ben"}])
async def test_a_plan_that_is_over_lets_no_authorized_call_begin(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    """Nor does it let another one pass."""
    async with office(tmp_path) as here:
        plan_id = await here.plan()
        case = await here.passed(plan_id, "a")
        await here.store.database.write(lambda connection: connection.execute(plans.update().values(change)))
        assert (await here.execution.execute(case.case_id)).status is Status.PENDING_REVIEW
        assert (await here.passed(plan_id, "b")).status is Status.PENDING_REVIEW and here.calls == []


async def test_a_plan_lets_no_call_pass_that_a_person_rejected_after_it_was_made(tmp_path: Path) -> None:
    """Right: the newer word counts; a plan that is made later lets it pass. Wrong: the older plan does."""
    async with office(tmp_path) as here:
        plan_id = await here.plan()
        first = await here.passed(plan_id, "a")
        await decisions_of(here.store).record(first.case_id, rejection("ben"))
        again = await here.passed(plan_id, "a")
        assert again.status is Status.PENDING_REVIEW
        said = f"The plan {plan_id} of anna was made before that. A person rejected the same call on "
        assert said in entries_in(tmp_path)[-1]["detail"]["reason"]
        assert (await here.passed(plan_id, "b")).status is Status.AUTHORIZED
        await decisions_of(here.store).record(again.case_id, rejection("ben"))
        assert (await here.passed(await here.plan(), "a")).status is Status.AUTHORIZED


async def test_a_plan_ends_with_the_key_of_its_maker(tmp_path: Path) -> None:
    """Who can no longer come in lets no call pass."""
    async with office(tmp_path) as office_:
        await office_.store.database.write(partial(keeping.note_keys, names=["anna"]))
        plan_id = await office_.plan()
        case = await office_.passed(plan_id, "before")
        assert case.status is Status.AUTHORIZED
        await office_.store.database.write(partial(keeping.note_keys, names=[]))
        after = await office_.passed(plan_id, "after")
        assert after.status is Status.PENDING_REVIEW
        await office_.execution.execute(case.case_id)
        assert office_.calls == []


async def test_a_call_without_a_use_on_record_is_not_executed(tmp_path: Path) -> None:
    """And a use cannot be taken away or changed."""
    async with office(tmp_path) as here:
        plan_id = await here.plan()
        case = await here.passed(plan_id, "a")
        for act in (plan_uses.delete(), plan_uses.update().values(arguments_sha256=SHA)):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"):
                await here.store.database.write(lambda connection, act=act: connection.execute(act))

        def forge(connection: Connection) -> None:
            connection.exec_driver_sql(without_trigger("plan_uses_no_delete", "plan_uses"))
            connection.execute(plan_uses.delete())

        await here.store.database.write(forge)
        assert (await here.execution.execute(case.case_id)).status is Status.FAILED and here.calls == []


async def test_a_rejection_stops_what_a_plan_let_pass(tmp_path: Path) -> None:
    """A rejection always counts."""
    async with office(tmp_path) as here:
        case = await here.passed(await here.plan(), "a")
        rejected = await decisions_of(here.store).record(case.case_id, rejection(reason="No."))
        assert rejected.status is Status.REJECTED
        assert (await here.execution.execute(case.case_id)).status is Status.REJECTED and here.calls == []
    actions = [entry["action"] for entry in entries_in(tmp_path)]
    assert "decide.plan_used" in actions and "execute.started" not in actions


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({}, True),
        ({"allows_plans": False}, False),
        ({"needs_passkey": True}, False),
        ({"hides_score": True}, False),
        ({"min_seconds": 5}, False),
        ({"reason_from": 80}, False),
        ({"reason_from": 81}, True),
    ],
)
async def test_what_a_rule_asks_of_each_call_keeps_plans_out(
    tmp_path: Path, fields: dict[str, Any], passes: bool
) -> None:
    """A passkey, a first choice or time to look cannot be given beforehand."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        assert may_pass(judged(case, **fields)) is passes


async def test_neither_two_approvals_nor_a_failed_judge_nor_a_class_that_is_prohibited_lets_plans_pass(
    tmp_path: Path,
) -> None:
    """A person decides."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        said = judged(case)
        assert said.ruling is not None
        two = said.ruling.model_copy(update={"approvals": 2})
        denied = said.ruling.model_copy(update={"is_denied": True})
        for change in ({"ruling": two}, {"ruling": denied}, {"ruling": None}):
            assert not may_pass(said.model_copy(update=change))
        assert not may_pass(said.model_copy(update={"assessor": "some model (failed)"}))
        assert not may_pass(said.model_copy(update={"classification": "Prohibited practice"}))


async def test_a_call_that_a_plan_let_pass_is_not_counted_as_the_scores(tmp_path: Path) -> None:
    """In the figures it is one that a person approved, and how long that took is not counted."""
    async with office(tmp_path) as here:
        case = await here.passed(await here.plan(), "a")
        assert (await here.execution.execute(case.case_id)).status is Status.EXECUTED
        tally = (await FiguresKept(here.store.database).of(7)).all
    assert dict(tally.endings) == {("note", Ending.EXECUTED_BY_PERSON): 1} and not tally.decided
    assert [answer for _, answer in tally.answers] == [Answer.APPROVED_BY_PERSON]


async def test_plans_that_go_on_are_few_so_that_no_call_waits_long_for_them(tmp_path: Path) -> None:
    """One that is stopped makes room."""
    async with office(tmp_path) as here:
        first = await here.plan()
        for _ in range(MOST_OF_TOOL - 1):
            await here.plan()
        with pytest.raises(PlanRefused, match="Stop one of them first"):
            await here.plan()
        await here.book.stop(first, ANNA)
        await here.plan()
