"""Agents of the frameworks that people use, against a gateway with the settings that it has by default."""

import asyncio
import re
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from acceptance.framework_process import INSTALL_SECONDS, FrameworkProcess, command_of
from gateway_process import GatewayProcess
from ports import kept_port

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(INSTALL_SECONDS + 100),
]

PATHS = {"http": "/mcp", "sse": "/mcp/sse"}
CHECK = ("check_status", {"beneficiary_id": "BEN-123"})
RECORD = "housing benefit"
HELD = re.compile(r"PENDING REVIEW \(Ref: (evt_[0-9a-f]{16})\)")
DONE = "The repayment of BEN-123 is now due on"
REASON = "not in the file of this year"


@dataclass(frozen=True)
class Way:
    """A framework and a transport; on some a new client is needed when the gateway was restarted."""

    name: str
    transport: str = "http"
    needs_new_client: bool = False

    def __str__(self) -> str:
        return f"{self.name} over {self.transport}"


def by_hand(name: str, *, dead_over_sse: bool = True, needs: tuple[int, int] = (3, 10)) -> Iterator[Any]:
    """Both ways of a framework that only `-m frameworks` runs."""
    too_old = pytest.mark.skipif(sys.version_info < needs, reason="the framework needs a newer Python")
    for way in (Way(name), Way(name, "sse", needs_new_client=dead_over_sse)):
        yield pytest.param(way, marks=(pytest.mark.frameworks, too_old))


WAYS = (
    Way("openai_agents"),
    Way("openai_agents", "sse", needs_new_client=True),
    Way("pydantic_ai_agent"),
    Way("langchain_agent"),
    *by_hand("google_adk", dead_over_sse=False, needs=(3, 11)),
    *by_hand("autogen_agent"),
    *by_hand("smolagents_agent"),
    *by_hand("llamaindex_agent", dead_over_sse=False),
    *by_hand("semantic_kernel_agent"),
    *by_hand("crewai_agent"),
    *by_hand("ai_sdk"),
    *by_hand("langchain_js"),
)
ANY_WAY = pytest.mark.parametrize("way", WAYS, ids=str)

AT_ONCE = 4  # more processes than that keep each other from answering in time


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for all frameworks, with the default graces."""
    process = GatewayProcess(tmp_path_factory.mktemp("frameworks"), ATLAS_PORT=str(kept_port()))
    process.leave_to_env_file("ATLAS_GRACE_SECONDS")
    process.leave_to_env_file("ATLAS_REVIEW_GRACE_SECONDS")
    await process.start()
    yield process
    await process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(
    request: pytest.FixtureRequest, running: GatewayProcess
) -> AsyncIterator[dict[Way, FrameworkProcess | BaseException]]:
    """An agent of each framework, installed and connected once for all tests, or why there is none."""
    here = (item for item in request.session.items if item.path == request.path)
    ways = {item.callspec.params["way"] for item in here if isinstance(item, pytest.Function)}
    agents: list[FrameworkProcess] = []

    async def start(way: Way) -> FrameworkProcess:
        command = await asyncio.to_thread(command_of, way.name)
        url, log = running.url + PATHS[way.transport], running.directory / f"{way}.log"
        agents.append(agent := FrameworkProcess(url, way.transport, log))
        await agent.start(*command)
        return agent

    yield await of_each(ways, start)
    await asyncio.gather(*(agent.end() for agent in agents))


async def of_each(ways: Iterable[Way], deed: Callable[[Way], Awaitable[Any]]) -> dict[Way, Any]:
    """What comes of a deed for each way, or what it raised: at the same time, as most of it is waiting."""
    free = asyncio.Semaphore(AT_ONCE)

    async def do(way: Way) -> Any:
        async with free:
            return await deed(way)

    ways = list(ways)
    return dict(zip(ways, await asyncio.gather(*map(do, ways), return_exceptions=True), strict=True))


def result_of(done: dict[Way, Any], way: Way) -> Any:
    """What came of a deed; raises what it raised."""
    if isinstance(done[way], BaseException):
        raise done[way]
    return done[way]


@pytest.fixture
def agent(way: Way, started: dict[Way, Any]) -> FrameworkProcess:
    """The connected agent of a framework."""
    return result_of(started, way)


def risky() -> tuple[str, dict[str, Any]]:
    """A call that waits for a person, unlike any other."""
    reason = f"hospital stay {secrets.token_hex(4)}"
    return "request_payment_extension", {"beneficiary_id": "BEN-123", "reason": reason}


def ask(case_id: str) -> tuple[str, dict[str, Any]]:
    """The question for an outcome, as the notice words it."""
    return "get_outcome", {"ref": case_id, "wait_seconds": 3}


async def read(agent: FrameworkProcess, *calls: tuple[str, dict[str, Any]]) -> list[str]:
    """What the model reads in a run that goes on to its end, with nothing marked as an error."""
    run = await agent.run(*calls)
    assert run["error"] is None, run
    assert not any(run["flagged"]), run
    return list(run["read"])


def held(notice: str) -> str:
    """The reference of a call that is held, as the model reads it."""
    found = HELD.search(notice)
    assert found is not None, notice
    return found[1]


@ANY_WAY
async def test_a_call_of_low_risk_brings_the_record(agent: FrameworkProcess) -> None:
    """The tools are found, and the model reads what one of them answers."""
    names = {tool.rpartition("-")[2] for tool in agent.connected["tools"]}
    assert {"check_status", "request_payment_extension", "get_outcome"} <= names
    (record,) = await read(agent, CHECK)
    assert RECORD in record


@ANY_WAY
async def test_the_outcome_of_an_approved_call_has_the_tools_words(
    agent: FrameworkProcess, running: GatewayProcess
) -> None:
    """The model reads the reference before its framework gives up, and gets the result for it."""
    (notice,) = await read(agent, risky())
    case_id = held(notice)
    await running.decide(case_id)
    (outcome,) = await read(agent, ask(case_id))
    assert f"EXECUTED (Ref: {case_id})" in outcome and DONE in outcome


@ANY_WAY
async def test_a_rejection_is_an_answer_with_the_reviewers_reason(
    agent: FrameworkProcess, running: GatewayProcess
) -> None:
    """The run goes on, also when the model asks twice."""
    (notice,) = await read(agent, risky())
    case_id = held(notice)
    await running.decide(case_id, "REJECTED", reason=REASON)
    for outcome in await read(agent, ask(case_id), ask(case_id)):
        assert f"REJECTED (Ref: {case_id})" in outcome and REASON in outcome


@ANY_WAY
async def test_two_calls_of_one_turn_are_both_answered(agent: FrameworkProcess) -> None:
    """The answer to each is in its place."""
    record, notice = await read(agent, CHECK, risky())
    assert RECORD in record
    assert held(notice)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undecided(started: dict[Way, Any]) -> dict[Way, tuple[str, str] | BaseException]:
    """Of each agent a held call, and what it reads when it asks for the outcome: that takes three seconds."""

    async def ask_in_vain(way: Way) -> tuple[str, str]:
        agent = result_of(started, way)
        (notice,) = await read(agent, risky())
        (still,) = await read(agent, ask(held(notice)))
        return held(notice), still

    return await of_each(started, ask_in_vain)


@ANY_WAY
async def test_the_wait_that_the_notice_recommends_is_waited(way: Way, undecided: dict[Way, Any]) -> None:
    """No framework gives up before, and the model reads that the call still waits."""
    case_id, still = result_of(undecided, way)
    assert held(still) == case_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killed(running: GatewayProcess, undecided: dict[Way, Any]) -> dict[Way, Any]:
    """The held calls, when their gateway was killed and runs again on the same port."""
    await running.kill()
    await running.start(ATLAS_PORT=str(urlsplit(running.url).port))
    return undecided


@ANY_WAY
async def test_an_agent_goes_on_when_the_gateway_was_killed_and_restarted(
    way: Way, agent: FrameworkProcess, killed: dict[Way, Any], running: GatewayProcess
) -> None:
    """With the same client where the framework can, else with a new one; what was held is executed."""
    case_id, _ = result_of(killed, way)
    first = await agent.run(CHECK)
    assert (RECORD in str(first["read"])) is not way.needs_new_client, first
    if way.needs_new_client:
        await agent.reconnect()
    await running.decide(case_id)
    (outcome,) = await read(agent, ask(case_id))
    assert f"EXECUTED (Ref: {case_id})" in outcome and DONE in outcome
