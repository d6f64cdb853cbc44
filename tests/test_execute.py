"""Execution: the gate, and what becomes of tools that fail, hang, or die half way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastmcp import FastMCP
from fastmcp.exceptions import NotFoundError, ToolError
from gateway_process import eventually
from kept import entries_in, held_by_another, refuse_inserts, without_trigger
from mcp.types import ToolAnnotations
from sqlalchemy.engine import Connection
from store import (
    approval,
    assessment_of,
    decisions,
    open_case,
    open_store,
    recorded_approval,
    rejection,
    settings_of_test,
    tool_call,
)

from atlas.agents.answers import ending_text, pending_text
from atlas.agents.held_calls import WaitingAgents
from atlas.cases.store import CaseStore, add_assessment, add_decision, transition
from atlas.cases.watch import is_settled
from atlas.database.postgresql import transactions as postgresql_transactions
from atlas.decide import Decisions, decide_by_score
from atlas.execute import Execution
from atlas.models import Assessment, Case, Scope, Status
from atlas.people.notices import Notifier
from atlas.stop.stops import Stops


class Workshop:
    """An executor with a few tools, and a note of every call that reached one."""

    def __init__(self, store: CaseStore, directory: Path, seconds: float = 60) -> None:
        self.store = store
        self.directory = directory
        self.calls: list[str] = []
        self.release = asyncio.Event()
        self.definition: str | None = None  # what the judge finds that the tool is
        self.server = FastMCP("workshop")
        settings = settings_of_test(directory, atlas_execute_seconds=seconds)
        self.execution = Execution(
            store=store,
            server=self.server,
            judge=self,
            tell=Notifier().tell,
            settings=settings,
            waiting=WaitingAgents(),
        )
        self._add_tools()

    async def rule(self, case: Case) -> Assessment:
        """The policy, which says the same of every call and is never another one."""
        return assessment_of(case.call).model_copy(update={"definition_sha256": self.definition})

    @property
    def policy_sha256(self) -> str:
        """Its digest."""
        return "0" * 64

    async def definition_sha256(self, case: Case) -> str | None:
        """As the test says."""
        return self.definition

    def _add_tools(self) -> None:
        @self.server.tool
        async def note(text: str) -> dict[str, str]:
            """Note a text."""
            self.calls.append(text)
            return {"noted": text}

        @self.server.tool
        async def hang(text: str) -> str:
            """Never answer in time."""
            self.calls.append(text)
            await asyncio.sleep(60)
            return text

        @self.server.tool
        async def wait_for_release(text: str) -> str:
            """Answer when released."""
            self.calls.append(text)
            await self.release.wait()
            return text

        @self.server.tool(annotations=ToolAnnotations(idempotent_hint=True))
        async def set_text(text: str) -> str:
            """Set a text, any number of times."""
            self.calls.append(text)
            return text

        @self.server.tool
        async def end_process(text: str) -> str:
            """Try to take the gateway along."""
            raise SystemExit(3)

        @self.server.tool
        async def refuse(text: str) -> str:
            """Answer with an error."""
            self.calls.append(text)
            raise ToolError(f"{text} is not possible".replace("\\udcff", "\udcff"))

    async def approved(self, tool: str, text: str = "a") -> Case:
        """A case that a person has approved."""
        case = await open_case(self.store, tool_call(tool, text=text))
        votes = Decisions(store=self.store, rule=self.rule, timeout=timedelta(days=1), tell=lambda case: None)
        return await votes.record(case.case_id, approval())

    def actions(self) -> list[str]:
        """What the ledger has."""
        return [entry["action"] for entry in entries_in(self.directory)]


@asynccontextmanager
async def workshop(directory: Path, *, seconds: float = 60) -> AsyncIterator[Workshop]:
    """A workshop in which a tool may take so long, and its store closed afterwards."""
    async with open_store(directory) as store:
        yield Workshop(store, directory, seconds)


async def test_an_approved_call_is_executed_with_its_arguments_and_its_result_kept(tmp_path: Path) -> None:
    """The result is the tool's own, structured content included."""
    async with workshop(tmp_path) as shop:
        case = await shop.execution.execute((await shop.approved("note", "hello")).case_id)
        assert case.status is Status.EXECUTED and shop.calls == ["hello"]
        assert case == await shop.store.read(case.case_id)
        assert case.outcome is not None and case.outcome.result is not None
        assert case.outcome.result["structuredContent"] == {"noted": "hello"}


async def test_a_call_whose_score_was_low_is_executed_without_a_person(tmp_path: Path) -> None:
    """The assessment on record is the ground."""
    async with workshop(tmp_path) as shop:
        case = await open_case(shop.store, tool_call("note", text="a"))

        def judge(connection: Connection) -> Case:
            judged = add_assessment(connection, case, assessment_of(case.call, 5))
            return decide_by_score(connection, judged, timeout=timedelta(days=1))

        await shop.store.change(case.case_id, judge)
        assert (await shop.execution.execute(case.case_id)).status is Status.EXECUTED


@pytest.mark.parametrize("score", [None, 70, 100])
async def test_a_case_that_is_marked_authorized_without_grounds_is_not_executed(
    tmp_path: Path, score: int | None
) -> None:
    """The state alone does not open the gate: a decision, or a low score, must be on record."""
    async with workshop(tmp_path) as shop:
        case = await open_case(shop.store, tool_call("note", text="a"))

        def mark(connection: Connection) -> Case:
            if score is not None:
                add_assessment(connection, case, assessment_of(case.call, score))
            return transition(connection, case, Status.AUTHORIZED)

        await shop.store.change(case.case_id, mark)
        assert (await shop.execution.execute(case.case_id)).status is Status.FAILED
        assert shop.calls == [] and "execute.refused" in shop.actions()


async def test_an_approval_from_before_policies_ruled_on_approvals_still_holds(tmp_path: Path) -> None:
    """Such a case was approved while it was queued: authorized without an assessment."""
    async with workshop(tmp_path) as shop:
        case = await open_case(shop.store, tool_call("note", text="a"))

        def approve(connection: Connection) -> Case:
            decision = recorded_approval(case)
            return transition(connection, add_decision(connection, case, decision), Status.AUTHORIZED)

        await shop.store.change(case.case_id, approve)
        assert (await shop.execution.execute(case.case_id)).status is Status.EXECUTED


async def test_what_the_policy_denied_is_not_executed_in_any_state(tmp_path: Path) -> None:
    """Nor with too few approvals."""
    async with workshop(tmp_path) as shop:
        for fields in ({"is_denied": True}, {"approvals": 2}):
            case = await open_case(shop.store, tool_call("note", text=str(fields)))

            def approve(connection: Connection, case: Case = case, fields: Any = fields) -> Case:
                judged = add_assessment(connection, case, assessment_of(case.call, 80, **fields))
                decision = recorded_approval(case)
                return transition(connection, add_decision(connection, judged, decision), Status.AUTHORIZED)

            await shop.store.change(case.case_id, approve)
            assert (await shop.execution.execute(case.case_id)).status is Status.FAILED
        assert shop.calls == []


async def test_an_assessment_of_other_arguments_is_no_ground(tmp_path: Path) -> None:
    """What was judged is what may run."""
    async with workshop(tmp_path) as shop:
        case = await open_case(shop.store, tool_call("note", text="a"))

        def mark(connection: Connection) -> Case:
            add_assessment(connection, case, assessment_of(tool_call("note", text="b"), 5))
            return transition(connection, case, Status.AUTHORIZED)

        await shop.store.change(case.case_id, mark)
        assert (await shop.execution.execute(case.case_id)).status is Status.FAILED
        assert shop.calls == []


@pytest.mark.parametrize("column", ["tool_name", "principal"])
async def test_an_approval_does_not_carry_over_to_another_tool_or_agent(tmp_path: Path, column: str) -> None:
    """The case must still be the call that the ledger says was admitted."""
    async with workshop(tmp_path) as shop:
        case = await shop.approved("note")
        alter = f"UPDATE cases SET {column} = 'set_text' WHERE case_id = '{case.case_id}'"
        await shop.store.database.write(lambda connection: connection.exec_driver_sql(alter))
        assert (await shop.execution.execute(case.case_id)).status is Status.FAILED
        assert shop.calls == [] and "execute.refused" in shop.actions()


async def test_an_answer_that_no_file_can_hold_is_kept_as_far_as_it_can_be(tmp_path: Path) -> None:
    """A lone surrogate in a tool's error does not leave the call half way."""
    async with workshop(tmp_path) as shop:
        case = await shop.execution.execute((await shop.approved("refuse", "caf\\udcff")).case_id)
        assert case.status is Status.EXECUTED
        assert await shop.store.read(case.case_id)


async def test_at_a_stop_no_tool_is_begun_that_no_agent_waits_for(tmp_path: Path) -> None:
    """It would be cut, and its outcome unknown: the next process begins it."""
    async with workshop(tmp_path) as shop:
        case = await shop.approved("note")
        shop.store.draining.is_closed = True
        request = asyncio.create_task(shop.execution.execute(case.case_id))
        done, _ = await asyncio.wait({request}, timeout=0.3)  # longer than an execution takes
        assert not done and shop.calls == [] and not shop.execution.is_busy
        request.cancel()
        shop.store.draining.is_closed = False
        assert (await shop.execution.execute(case.case_id)).status is Status.EXECUTED
        assert shop.calls == ["a"]


async def test_a_repeated_request_joins_the_first_and_runs_nothing_again(tmp_path: Path) -> None:
    """Duplicate delivery is normal for a workflow engine."""
    async with workshop(tmp_path) as shop:
        case = await shop.approved("wait_for_release")
        requests = [asyncio.create_task(shop.execution.execute(case.case_id)) for _ in range(5)]
        while not shop.calls:
            await asyncio.wait(requests, timeout=0.01)
        requests[0].cancel()
        shop.release.set()
        endings = await asyncio.gather(*requests[1:])
        later = await shop.execution.execute(case.case_id)
        assert {ending.status for ending in [*endings, later]} == {Status.EXECUTED}
        assert shop.calls == ["a"] and shop.actions().count("execute.started") == 1


async def test_a_tool_that_answers_with_an_error_has_answered(tmp_path: Path) -> None:
    """An error of the tool is an outcome, not a crash, and is not tried again."""
    async with workshop(tmp_path) as shop:
        case = await shop.execution.execute((await shop.approved("refuse")).case_id)
        assert case.status is Status.EXECUTED and case.outcome is not None and case.outcome.is_error
        assert case.outcome.result is not None and "a is not possible" in str(case.outcome.result["content"])
        assert shop.calls == ["a"]


async def test_a_tool_that_tries_to_end_the_process_has_answered_with_an_error(tmp_path: Path) -> None:
    """The other calls go on."""
    async with workshop(tmp_path) as shop:
        case = await shop.execution.execute((await shop.approved("end_process")).case_id)
        assert case.status is Status.EXECUTED and case.outcome is not None and case.outcome.is_error


async def test_a_tool_that_hangs_leaves_an_unknown_outcome(tmp_path: Path) -> None:
    """It was begun, so it is not repeated."""
    async with workshop(tmp_path, seconds=0.3) as shop:
        case = await shop.execution.execute((await shop.approved("hang")).case_id)
        assert case.status is Status.OUTCOME_UNKNOWN
        assert (await shop.execution.execute(case.case_id)).status is Status.OUTCOME_UNKNOWN
        assert shop.calls == ["a"]


async def test_what_a_dead_process_had_begun_is_repeated_only_where_the_tool_says_that_it_may(
    tmp_path: Path,
) -> None:
    """Only idempotentHint allows a second attempt."""
    async with workshop(tmp_path) as shop:
        cases = [await shop.approved("note"), await shop.approved("set_text")]
        for case in cases:

            def begin(connection: Connection, case: Case = case) -> Case:
                return transition(connection, case, Status.EXECUTING, claimed_by="a process that died")

            await shop.store.change(case.case_id, begin)
        await shop.execution.recover()
        endings = [(await shop.execution.execute(case.case_id)).status for case in cases]
        assert endings == [Status.OUTCOME_UNKNOWN, Status.EXECUTED] and shop.calls == ["a"]


async def test_what_a_dead_process_had_begun_is_not_repeated_by_a_tool_that_has_changed(
    tmp_path: Path,
) -> None:
    """It may declare anything now: it is not what was approved."""
    async with workshop(tmp_path) as shop:
        shop.definition = "d" * 64
        case = await shop.approved("set_text")
        assert case.definition_sha256 == "d" * 64

        def begin(connection: Connection) -> Case:
            return transition(connection, case, Status.EXECUTING, claimed_by="a process that died")

        await shop.store.change(case.case_id, begin)
        await shop.execution.recover()
        shop.definition = "e" * 64
        assert (await shop.execution.execute(case.case_id)).status is Status.OUTCOME_UNKNOWN
        assert shop.calls == []


async def test_a_tool_that_changes_after_the_last_check_is_not_called(tmp_path: Path) -> None:
    """The very tool that is about to run is looked at, and no answer is made up for it."""
    async with workshop(tmp_path) as shop:
        shop.definition = "d" * 64  # what the judge has seen is not what is there now
        case = await shop.execution.execute((await shop.approved("note")).case_id)
        assert shop.calls == [] and case.status is Status.FAILED and case.outcome is not None
        assert case.outcome.result is None
        assert case.outcome.detail == "Reason: The tool note changed in the moment before its call."
        assert shop.actions()[-1] == "execute.refused" and case == await shop.store.read(case.case_id)


async def test_a_tool_that_goes_after_the_last_check_is_not_said_to_have_answered(tmp_path: Path) -> None:
    """The agent reads that nothing was done."""
    async with workshop(tmp_path) as shop:
        case = await shop.approved("note")
        shop.server.local_provider.remove_tool("note")
        case = await shop.execution.execute(case.case_id)
        assert case.status is Status.FAILED and "Unknown tool" in ending_text(case)


async def test_a_tool_that_changes_before_it_is_repeated_leaves_an_unknown_outcome(tmp_path: Path) -> None:
    """The process that died may have called it."""
    async with workshop(tmp_path) as shop:
        shop.definition = "d" * 64
        case = await shop.approved("set_text")

        def begin(connection: Connection) -> Case:
            return transition(connection, case, Status.EXECUTING, claimed_by="a process that died")

        await shop.store.change(case.case_id, begin)
        await shop.execution.recover()
        assert (await shop.execution.execute(case.case_id)).status is Status.OUTCOME_UNKNOWN
        assert shop.calls == []


async def test_a_tool_that_looks_at_itself_after_it_changed_has_answered(tmp_path: Path) -> None:
    """Only what comes before the call can say that there was none."""
    async with workshop(tmp_path) as shop:

        @shop.server.tool
        async def replace_itself(text: str) -> str:
            """Be gone while it runs."""
            shop.calls.append(text)
            shop.server.local_provider.remove_tool("replace_itself")
            raise NotFoundError(f"no {await shop.server.get_tool('replace_itself')}")

        case = await shop.execution.execute((await shop.approved("replace_itself")).case_id)
        assert shop.calls == ["a"] and case.status is Status.EXECUTED
        assert case.outcome is not None and "no None" in str(case.outcome.result)


async def test_a_policy_that_comes_into_force_while_a_call_is_claimed_is_asked_before_it_runs(
    tmp_path: Path,
) -> None:
    """The claim holds only for the policy that is in force then."""

    class Shop(Workshop):
        rulings = 0

        @property
        def policy_sha256(self) -> str:
            return "012"[min(self.rulings, 2)] * 64  # another one after each of the first two rulings

        async def rule(self, case: Case) -> Assessment:
            ruled = assessment_of(case.call, policy_sha256=self.policy_sha256)
            self.rulings += 1
            return ruled.model_copy(update={"definition_sha256": "d" * 64})

    async with open_store(tmp_path) as store:
        shop = Shop(store, tmp_path)
        shop.definition = "d" * 64
        case = await shop.execution.execute((await shop.approved("note")).case_id)
        assert case.status is Status.PENDING_REVIEW and shop.calls == []
        assert case.assessment is not None and case.assessment.reopened_because is not None
        assert "The policy was changed" in case.assessment.reopened_because


async def test_a_replayed_run_of_a_call_that_went_back_leaves_no_trace_of_a_refusal_and_tells_no_one_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no attempt without authority, and it finds the case where it stands."""
    async with workshop(tmp_path) as shop:
        shop.definition = "d" * 64
        case = await shop.approved("note")
        shop.definition = "e" * 64
        for _ in range(3):
            assert (await shop.execution.execute(case.case_id)).status is Status.PENDING_REVIEW
        assert caplog.text.count("A call waits for a person") == 1
        await decisions(shop.store).record(case.case_id, rejection())
        assert (await shop.execution.execute(case.case_id)).reported_at is not None
        assert "execute.refused" not in shop.actions() and shop.calls == []
        assert shop.actions().count("decide.reopened") == 1


async def test_what_is_being_executed_is_not_begun_again_even_if_no_one_has_cleared_up(
    tmp_path: Path,
) -> None:
    """The claim itself refuses: the second line behind the clearing up at start."""
    async with workshop(tmp_path) as shop:
        case = await shop.approved("note")

        def begin(connection: Connection) -> Case:
            return transition(connection, case, Status.EXECUTING, claimed_by="another process")

        await shop.store.change(case.case_id, begin)
        assert (await shop.execution.execute(case.case_id)).status is Status.OUTCOME_UNKNOWN
        assert shop.calls == []


async def test_an_answer_that_could_not_be_recorded_is_recorded_by_the_next_attempt(tmp_path: Path) -> None:
    """A disk that is full for a moment does not make a known outcome unknown."""
    async with workshop(tmp_path) as shop:
        case = await shop.approved("note")
        for full in refuse_inserts("outcomes"):
            await shop.store.database.write(partial(Connection.exec_driver_sql, statement=full))
        with pytest.raises(Exception, match="disk full"):
            await shop.execution.execute(case.case_id)
        again = without_trigger("outcomes_full", "outcomes")
        await shop.store.database.write(lambda connection: connection.exec_driver_sql(again))
        assert (await shop.execution.execute(case.case_id)).status is Status.EXECUTED
        assert shop.calls == ["a"]


@pytest.mark.sqlite("it lets its file grow no further")
async def test_an_outcome_is_held_until_a_full_disk_has_room_for_it(tmp_path: Path) -> None:
    """However long that takes: the tool has run, and its answer is known."""
    async with workshop(tmp_path) as shop:
        case = await shop.approved("wait_for_release", "x" * 200_000)
        request = asyncio.create_task(shop.execution.execute(case.case_id))
        while not shop.calls:
            await asyncio.wait({request}, timeout=0.01)
        await limit_pages(shop, int(await pragma(shop, "page_count")))
        shop.release.set()
        while shop.store.database.problem is None:
            await asyncio.wait({request}, timeout=0.01)
        assert shop.store.database.problem == "database or disk is full" and not request.done()
        await limit_pages(shop, 1_000_000)
        assert (await asyncio.wait_for(request, 20)).status is Status.EXECUTED
        assert shop.actions().count("execute.started") == 1


async def test_that_no_one_knows_what_a_tool_did_is_held_too_until_it_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that failed meanwhile would leave the call as if it were still being executed."""
    async with workshop(tmp_path, seconds=3) as shop:  # in which the store is locked, on any machine
        case = await shop.approved("wait_for_release", "a")
        request = asyncio.create_task(shop.execution.execute(case.case_id))
        while not shop.calls:
            await asyncio.wait({request}, timeout=0.01)
        monkeypatch.setattr(postgresql_transactions, "LOCK_SECONDS", 1)
        if shop.store.database.kind == "sqlite":
            await pragma(shop, "busy_timeout = 0")
        with held_by_another(shop.store.database.directory):
            while shop.store.database.problem is None:
                await asyncio.wait({request}, timeout=0.01)
            assert not (await asyncio.wait({request}, timeout=0.1))[0]
        assert (await asyncio.wait_for(request, 20)).status is Status.OUTCOME_UNKNOWN
        shop.release.set()


async def pragma(shop: Workshop, text: str) -> Any:
    """What the writing connection of the store answers."""

    def ask(connection: Connection) -> Any:
        result = connection.exec_driver_sql(f"PRAGMA {text}")
        return result.scalar() if result.returns_rows else None

    return await shop.store.database.write(ask)


async def limit_pages(shop: Workshop, count: int) -> None:
    """Let the file grow to so many pages, as a disk of that size would."""
    await pragma(shop, f"max_page_count = {count}")


async def test_unfinished_business_is_waited_for_at_the_end_but_not_for_long(tmp_path: Path) -> None:
    """Closing returns although a tool hangs."""
    async with workshop(tmp_path, seconds=0.3) as shop:
        case = await shop.approved("wait_for_release")
        request: asyncio.Task[Any] = asyncio.create_task(shop.execution.execute(case.case_id))
        while not shop.calls:
            await asyncio.wait({request}, timeout=0.01)
        await asyncio.wait_for(shop.execution.close(), 10)
        await request


async def test_what_is_approved_does_not_begin_under_a_stop_and_begins_once_after_it(tmp_path: Path) -> None:
    """The claim reads the stop; the case comes back as it stands, and its watchers are told."""
    async with workshop(tmp_path) as shop:
        case, stops = await shop.approved("note"), Stops(shop.store.database)
        stop = await stops.stop(Scope.EVERYTHING, reason="fire", person_name="anna")
        with shop.store.watch(case) as watch:
            held = [await shop.execution.execute(case.case_id) for _ in range(3)]
            assert is_settled(watch.case) and watch.case == held[-1]
        assert {(one.status, one.stop) for one in held} == {(Status.AUTHORIZED, stop)} and shop.calls == []
        assert "execute.started" not in shop.actions()
        await stops.lift(stop.stop_id, reason="it is out", person_name="bob")
        ended = [(await shop.execution.execute(case.case_id)).status for _ in range(3)]
        assert ended == [Status.EXECUTED] * 3 and shop.calls == ["a"]


async def test_a_stop_of_something_else_holds_nothing(tmp_path: Path) -> None:
    """Another tool, and another agent."""
    async with workshop(tmp_path) as shop:
        case, stops = await shop.approved("note"), Stops(shop.store.database)
        await stops.stop(Scope.TOOL, "set_text", reason="odd", person_name="anna")
        await stops.stop(Scope.AGENT, "another", reason="odd", person_name="anna")
        assert (await shop.execution.execute(case.case_id)).status is Status.EXECUTED


async def test_what_runs_when_the_stop_comes_ends(tmp_path: Path) -> None:
    """Its result is kept: it was done."""
    async with workshop(tmp_path) as shop:
        case, stops = await shop.approved("wait_for_release"), Stops(shop.store.database)
        running = asyncio.create_task(shop.execution.execute(case.case_id))
        await eventually(lambda: has_begun(shop))
        await stops.stop(Scope.EVERYTHING, reason="fire", person_name="anna")
        shop.release.set()
        assert (await running).status is Status.EXECUTED


async def has_begun(shop: Workshop) -> bool:
    """Whether a tool was reached."""
    return bool(shop.calls)


async def test_what_a_dead_process_had_begun_is_not_repeated_under_a_stop(tmp_path: Path) -> None:
    """Also where its tool says that it may be; after the lift it is."""
    async with workshop(tmp_path) as shop:
        case, stops = await shop.approved("set_text"), Stops(shop.store.database)

        def begin(connection: Connection) -> Case:
            return transition(connection, case, Status.EXECUTING, claimed_by="a process that died")

        await shop.store.change(case.case_id, begin)
        stop = await stops.stop(Scope.TOOL, "set_text", reason="odd", person_name="anna")
        await shop.execution.recover()
        held = await shop.execution.execute(case.case_id)
        assert (held.status, held.stop, shop.calls) == (Status.EXECUTING, stop, [])
        assert "it is repeated when a person has lifted a stop" in pending_text(held)
        await stops.lift(stop.stop_id, reason="it is well", person_name="bob")
        assert (await shop.execution.execute(case.case_id)).status is Status.EXECUTED
        assert shop.calls == ["a"]


async def test_a_call_that_its_score_approves_while_a_stop_holds_does_not_begin(tmp_path: Path) -> None:
    """It was admitted before the stop; the score decides, and the person's stop holds."""
    async with workshop(tmp_path) as shop:
        case, stops = await open_case(shop.store, tool_call("note", text="a")), Stops(shop.store.database)
        stop = await stops.stop(Scope.EVERYTHING, reason="fire", person_name="anna")

        def judge(connection: Connection) -> Case:
            judged = add_assessment(connection, case, assessment_of(case.call, 5))
            return decide_by_score(connection, judged, timeout=timedelta(days=1))

        assert (await shop.store.change(case.case_id, judge)).status is Status.AUTHORIZED
        held = await shop.execution.execute(case.case_id)
        assert (held.status, held.stop) == (Status.AUTHORIZED, stop) and held.frozen_at is not None
        assert shop.calls == []
        await stops.lift(stop.stop_id, reason="it is out", person_name="bob")
        assert (await shop.execution.execute(case.case_id)).status is Status.EXECUTED
