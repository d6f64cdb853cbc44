"""A runaway agent: what it may ask for, what it is told beyond that, and what is recorded."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastmcp import Client, FastMCP
from gateway_process import (
    OTHER_AGENT_KEY,
    GatewayProcess,
    call,
    outcome,
    reference_in,
    text_of,
)
from kept import entries_in
from sqlalchemy.engine import Connection
from store import insert_case, open_store, settings_of_test, tool_call

import atlas.cases.limits
import atlas.cases.waiting
from atlas import ledger
from atlas.admit import Admission, note_admission
from atlas.agents.held_calls import WaitingAgents
from atlas.cases.limits import Limits, TooMuch
from atlas.cases.opening import unfinished_case
from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.instants import now
from atlas.settings import Settings
from atlas.welfare import WelfareOffice, add_welfare_tools

READS = "check_status"


class Undone(Exception):
    """Raised by a change, of which nothing stays then."""


class Limited:
    """A store, limits, and a clock that the test moves."""

    def __init__(self, store: CaseStore, **settings: Any) -> None:
        self.store = store
        self.limits = Limits(Settings(_env_file=None, **settings))

    async def ask(self, number: int, principal: str = "agent", **arguments: Any) -> TooMuch | None:
        """A call unlike any other; a case is opened for it if it may."""

        def work(connection: Connection) -> TooMuch | None:
            new = tool_call(principal=principal, number=number, **arguments)
            refusal = self.limits.meet(connection, new)
            if refusal is None:
                note_admission(connection, insert_case(connection, new)[0])
            return refusal

        return await self.store.database.write(work)

    async def open_and_fail(self, number: int) -> None:
        """A call for which a case is opened, and all of it undone."""

        def work(connection: Connection) -> None:
            new = tool_call(number=number)
            self.limits.meet(connection, new)
            note_admission(connection, insert_case(connection, new)[0])
            raise Undone

        with suppress(Undone):
            await self.store.database.write(work)

    async def decide(self, number: int | None = None) -> None:
        """As if so many cases were over, or all; no entry says so, which only makes a bound too high."""

        def work(connection: Connection) -> None:
            some = sa.select(cases.c.case_id).where(cases.c.status == "QUEUED").limit(number)
            connection.execute(cases.update().where(cases.c.case_id.in_(some)).values(status="EXECUTED"))

        await self.store.database.write(work)

    async def waiting(self) -> int:
        """How many there are."""
        query = sa.select(sa.func.count()).select_from(cases).where(cases.c.status == "QUEUED")
        return await self.store.database.read(lambda connection: int(connection.scalar(query) or 0))

    async def bursts(self) -> list[dict[str, Any]]:
        """The entries of the ledger about calls that were refused."""
        entries = entries_in(self.store.database.directory)
        return [entry for entry in entries if entry["action"] == "admit.limited"]


@asynccontextmanager
async def limited(directory: Path, **settings: Any) -> AsyncIterator[Limited]:
    """Limits over a store in a directory."""
    async with open_store(directory) as store:
        yield Limited(store, **settings)


@pytest.mark.sqlite("it counts the steps of SQLite's virtual machine")
async def test_what_is_over_costs_no_look_when_waiting_calls_are_counted(tmp_path: Path) -> None:
    """SQLite takes as many steps with two hundred ended calls of an agent as with ten."""
    async with limited(tmp_path, atlas_calls_per_minute=1000) as agent:
        steps = []
        for begin, end in ((0, 10), (10, 200)):
            for number in range(begin, end):
                assert await agent.ask(number) is None
                await agent.decide()
            steps.append(await agent.store.database.write(_steps_of_counting))
        assert steps[0] == steps[1]


def _steps_of_counting(connection: Connection) -> int:
    driver: Any = connection.connection.driver_connection
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0  # go on

    driver.set_progress_handler(count, 1)
    try:
        row = atlas.cases.waiting._OF_AGENT.first(connection, {"most": 4, "agent": "agent"})
    finally:
        driver.set_progress_handler(None, 0)
    assert row == (0,)
    return steps


class Clock:
    """In the place of the limits' own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moment: datetime = now()
        monkeypatch.setattr(atlas.cases.limits, "now", lambda: self.moment)

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


async def test_calls_beyond_the_limit_are_refused_until_the_minute_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent is told in how many seconds to come back, and that is true."""
    clock = Clock(monkeypatch)
    async with limited(tmp_path, atlas_calls_per_minute="3") as here:
        assert [await here.ask(number) for number in range(3)] == [None] * 3
        clock.forward(20)
        refusal = await here.ask(3)
        assert str(refusal) == (
            "This call was refused: this agent has made 3 calls in a minute, which is the limit. "
            "Nothing was done. Make it again in 40 seconds."
        )
        clock.forward(40)
        assert await here.ask(3) is None


async def test_each_agent_has_its_own_count_and_all_together_have_one(tmp_path: Path) -> None:
    """One runaway agent stops itself; many of them stop at the limit of all."""
    settings = {"atlas_calls_per_minute": "2,importer:4", "atlas_calls_per_minute_in_all": 7}
    async with limited(tmp_path, **settings) as here:
        served: dict[str, int] = {}
        for agent in ("one", "importer", "two"):
            answers = [await here.ask(number, agent) for number in range(6)]
            served[agent] = answers.count(None)
        assert served == {"one": 2, "importer": 4, "two": 1}
        assert "all agents together have made 7 calls" in str(answers[-1])


async def test_the_counts_outlive_the_process(tmp_path: Path) -> None:
    """They are in the file, so a restart is no way round them."""
    async with limited(tmp_path, atlas_calls_per_minute="1") as here:
        assert await here.ask(0) is None
    async with limited(tmp_path, atlas_calls_per_minute="1") as here:
        assert await here.ask(1) is not None


async def test_a_clock_that_is_put_back_locks_no_agent_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute that began in the future is over."""
    clock = Clock(monkeypatch)
    async with limited(tmp_path, atlas_calls_per_minute="1") as here:
        assert await here.ask(0) is None
        clock.forward(-3600)
        assert await here.ask(1) is None
        assert await here.ask(2) is not None


@pytest.mark.parametrize(
    ("settings", "who"),
    [
        ({"atlas_waiting_cases": "2"}, "2 calls of this agent wait"),
        ({"atlas_waiting_cases": "9,agent:2"}, "2 calls of this agent wait"),
        ({"atlas_waiting_cases_in_all": 2}, "2 calls of all agents together wait"),
    ],
)
async def test_reviewers_are_not_flooded(tmp_path: Path, settings: dict[str, Any], who: str) -> None:
    """What no one has decided is bounded, also while it is still being judged."""
    async with limited(tmp_path, **settings) as here:
        answers = await asyncio.gather(*(here.ask(number) for number in range(20)))
        refusals = [str(answer) for answer in answers if answer is not None]
        assert len(refusals) == 18 and all(who in refusal for refusal in refusals)
        assert all("Nothing was done." in refusal for refusal in refusals)
        await here.decide()
        assert await here.ask(20) is None


@pytest.mark.parametrize("seed", range(6))
async def test_a_limit_is_met_exactly_whatever_was_undone_decided_or_opened_elsewhere(
    tmp_path: Path, seed: int
) -> None:
    """Waiting calls are not counted for each call; two gateways take turns, and changes are undone."""
    chance, most = random.Random(seed), 7  # noqa: S311
    async with limited(tmp_path, atlas_waiting_cases=str(most)) as here:
        other = Limited(here.store, atlas_waiting_cases=str(most))
        for number in range(120):
            match chance.randrange(6):
                case 0:
                    await here.decide(chance.randrange(1, 6))
                case 1:
                    await chance.choice((here, other)).open_and_fail(1000 + number)
                case _:
                    is_full = await here.waiting() >= most
                    answer = await chance.choice((here, other)).ask(number)
                    assert (answer is not None) is is_full, number


async def test_calls_that_wait_are_not_counted_for_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, a look at one entry of the ledger says that the limit is far away."""
    counted = 0
    usual = atlas.cases.waiting._count

    def count(*what: Any) -> Any:
        nonlocal counted
        counted += 1
        return usual(*what)

    monkeypatch.setattr(atlas.cases.waiting, "_count", count)
    async with limited(tmp_path, atlas_calls_per_minute="1000", atlas_waiting_cases="150") as here:
        refused = [await here.ask(number) for number in range(140)]
        assert refused == [None] * 140 and counted == 2  # the first was before any entry


async def test_arguments_have_a_largest_size(tmp_path: Path) -> None:
    """In UTF-8, as they are kept; the same call again would meet the same limit, and the agent is told so."""
    async with limited(tmp_path, atlas_arguments_kb=1) as here:
        assert await here.ask(0, text="x" * 900) is None
        refusal = str(await here.ask(1, text="ä" * 600))
    assert "its arguments have 2 KB, and 1 KB are the limit" in refusal
    assert "Nothing was done." in refusal and "will be refused again" in refusal


async def test_answers_to_a_tools_questions_count_like_arguments(tmp_path: Path) -> None:
    """Right: they are kept with the case too, so an agent cannot fill the disk with them."""
    async with limited(tmp_path, atlas_arguments_kb=1) as here:

        async def meet(**continuation: Any) -> TooMuch | None:
            new = tool_call(text="x" * 600).model_copy(update={"continuation": continuation})
            return await here.store.database.write(lambda connection: here.limits.meet(connection, new))

        for large in ({"q": {"action": "accept", "content": {"a": "y" * 600}}}, {"y" * 600: {}}):
            assert "1 KB are the limit" in str(await meet(inputResponses=large))
        assert "1 KB are the limit" in str(await meet(requestState="y" * 600))
        assert await meet(inputResponses={"q": {"action": "accept"}}) is None


async def test_a_burst_is_one_entry_of_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the entry of the next burst says how many calls were refused in the one before."""
    clock = Clock(monkeypatch)
    async with limited(tmp_path, atlas_calls_per_minute="1") as here:
        for number in range(50):
            await here.ask(number)
        clock.forward(30)
        await here.ask(50)
        [first] = await here.bursts()
        clock.forward(61)
        await here.ask(51)
        await here.ask(52)
        _, second = await here.bursts()
        opened = 2
        assert ledger.verify(entries_in(here.store.database.directory)) == opened + 2
    assert (first["actor"], first["case_id"]) == ("agent", "")
    assert first["detail"]["limit"] == "ATLAS_CALLS_PER_MINUTE" and first["detail"]["most"] == 1
    assert second["detail"]["refused_in_burst_before"] == 50


async def test_a_count_that_fails_is_a_refusal(tmp_path: Path) -> None:
    """Without the table no call is admitted: no case, no announcement, and the agent is told so."""
    async with open_store(tmp_path) as store:
        await WelfareOffice(store.database).seed()
        announced: list[Any] = []
        gate = Admission(
            store=store,
            announce=announced.append,
            settings=settings_of_test(tmp_path, atlas_grace_seconds=0),
            waiting=WaitingAgents(),
        )
        server = FastMCP("gated", middleware=[gate])
        add_welfare_tools(server, WelfareOffice(store.database))
        await store.database.write(lambda connection: connection.execute(sa.text("DROP TABLE call_counts")))
        async with Client(server) as client:
            answer = await client.call_tool(READS, {"beneficiary_id": "BEN-123"}, raise_on_error=False)
        count = sa.select(sa.func.count()).select_from(cases)
        opened = await store.database.read(lambda connection: connection.execute(count).scalar_one())
    assert answer.is_error and "Nothing was done." in text_of(answer)
    assert (opened, announced) == (0, [])


async def test_the_same_call_is_found_before_it_is_counted(tmp_path: Path) -> None:
    """A call that may already run is never told that nothing was done."""
    async with limited(tmp_path, atlas_calls_per_minute="1") as here:
        assert await here.ask(0) is None
        found = await here.store.database.write(
            lambda connection: unfinished_case(connection, tool_call(number=0))
        )
        assert found is not None


async def test_a_runaway_agent_stops_and_another_goes_on(tmp_path: Path) -> None:
    """On a real gateway: no case for what is refused, and the reviewer's log has two lines and not forty."""
    limits = {"ATLAS_WAITING_CASES": "2", "ATLAS_ARGUMENTS_KB": "1"}
    gateway = GatewayProcess(tmp_path, ATLAS_GRACE_SECONDS="10", **limits)
    await gateway.start()
    try:
        async with gateway.agent() as agent:

            async def ask(number: int) -> Any:
                return await call(
                    agent, "request_payment_extension", beneficiary_id="BEN-123", reason=f"stay {number}"
                )

            answers = await asyncio.gather(*(ask(number) for number in range(40)))
            taken = [answer for answer in answers if not answer.is_error]
            assert len(taken) == 2
            refused = {text_of(answer) for answer in answers if answer.is_error}
            assert len(refused) == 1 and "2 calls of this agent wait for a decision" in refused.pop()
            assert "1 KB are the limit" in text_of(await ask(10**1500))
            again = next(number for number, answer in enumerate(answers) if not answer.is_error)
            assert reference_in(await ask(again)) == reference_in(answers[again])
            await gateway.decide(reference_in(taken[0]))
            await outcome(agent, reference_in(taken[0]))
            assert not (await ask(41)).is_error
        async with gateway.agent(OTHER_AGENT_KEY) as other:
            assert not (await call(other, READS, beneficiary_id="BEN-123")).is_error
    finally:
        await gateway.kill()
    assert gateway.newest_log().count("A call waits for a person") == 3
    entries = [entry["action"] for entry in entries_in(gateway.data)]
    assert entries.count("admit.queued") == 4 and entries.count("admit.limited") == 1
