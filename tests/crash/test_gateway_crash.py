"""A gateway that is killed again and again under load executes nothing twice and forgets no decision."""

import asyncio
import contextlib
import json
import logging
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from gateway_process import ROOT, GatewayProcess, eventually, outcome, text_of
from kept import entries_in
from ports import kept_port

from crash.gateway_load import GatewayLoad, noting_gateway, rows, waiting_cases
from crash.stopper import Stopper

POLICY = """
[[rule]]
tool = "look"
score = 5

[[rule]]
tool = "change"
score = 90
"""
MOMENTS = (
    "before atlas.workflow.courier Courier._deliver",
    "after atlas.workflow.courier Courier._deliver",
    "before atlas.path AssessAndDecide.assess",
    "after atlas.path AssessAndDecide.assess",
    "after atlas.decide Decisions.record",
    "before atlas.execute Execution._claim",
    "before atlas.agents.calling ToolCaller.call",
    "after atlas.agents.calling ToolCaller.call",
    "after atlas.execute Execution._record",
)
DEATH_SECONDS = 4.0
DECISIONS = 5  # at least, so that a run on a slow machine shows something
DRAIN_SECONDS = 200.0


def build_gateway(directory: Path) -> GatewayProcess:
    """A gateway that is not started yet, on a port that it keeps."""
    policy = directory / "policy.toml"
    policy.write_text(POLICY)
    return noting_gateway(directory, ATLAS_PORT=str(kept_port()), ATLAS_POLICY=str(policy))


async def crash(
    gateway: GatewayProcess,
    kills: int,
    seed: int,
    *,
    load_of: Callable[[GatewayProcess, random.Random], GatewayLoad] = GatewayLoad,
    stopper: Stopper | None = None,
    moments: Sequence[str] = MOMENTS,
    between: Callable[[int], None] = lambda kill_number: None,
) -> GatewayLoad:
    """Kill a gateway that often under load, and compare tools, cases and ledger; returns the load.

    `between` is called while it is dead, with how often it was killed.
    """
    chance, deaths = random.Random(seed), Counter[str]()  # noqa: S311 - to be repeated
    load = load_of(gateway, random.Random(seed + 1))  # noqa: S311 - to be repeated
    logging.getLogger("mcp.client").setLevel(logging.CRITICAL)  # whose connections break all the time
    sending = asyncio.create_task(load.run())
    stopping = asyncio.create_task(stopper.run()) if stopper else None
    try:
        for number in range(kills):
            deaths[await live_and_die(gateway, chance, moments)] += 1
            load.hang_up()
            between(number + 1)
        await gateway.start()
        if stopper and stopping:
            stopper.is_over = True
            await asyncio.wait_for(stopping, DRAIN_SECONDS)
            await stopper.end()
        await eventually(partial(has_worked, gateway, load), seconds=DRAIN_SECONDS)
        load.is_over = True
        await asyncio.wait_for(sending, DRAIN_SECONDS)
        await eventually(lambda: settled(gateway), seconds=DRAIN_SECONDS)
        check_waiting(gateway, load)
        await load.decide_held()
        await eventually(lambda: settled(gateway), seconds=DRAIN_SECONDS)
        assert not waiting_cases(gateway)
        await check_agents(gateway, load)
        await check_ledger_command(gateway)
    finally:
        sending.cancel()
        if stopping:
            stopping.cancel()
        with contextlib.suppress(AssertionError):
            await gateway.kill()
    print(report(gateway, load, deaths, seed))
    check_records(gateway, load)
    if stopper:
        stopper.check()
    return load


async def live_and_die(gateway: GatewayProcess, chance: random.Random, moments: Sequence[str]) -> str:
    """Start it and kill it: at a moment of the path, in a commit, anywhere, or while it starts."""
    how = chance.choice(("anywhere", "anywhere", "starting", "at a moment", "at a moment", "in a commit"))
    if how == "starting":
        await die_while_starting(gateway, seconds=chance.uniform(0.2, 2.5))
        return how
    moment = {"at a moment": chance.choice(moments), "in a commit": f"commit {chance.randint(1, 60)}"}
    with contextlib.suppress(AssertionError):  # it may die before it answers
        await gateway.start(ATLAS_TEST_DIE=moment.get(how, ""))
    if how == "anywhere":
        await asyncio.sleep(chance.uniform(0.0, 1.0))
    else:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(gateway.ended(), DEATH_SECONDS)
    is_alive = not gateway.has_ended
    await kill(gateway)
    return "anywhere" if is_alive else how


async def die_while_starting(gateway: GatewayProcess, *, seconds: float) -> None:
    """Kill it before it answers, or soon after."""
    starting = asyncio.create_task(gateway.start())
    await asyncio.sleep(seconds)  # at random: not for anything to happen
    await kill(gateway)
    with contextlib.suppress(AssertionError):
        await starting


async def kill(gateway: GatewayProcess) -> None:
    """End it with SIGKILL; nothing else may have ended it before."""
    await gateway.kill()
    assert await gateway.ended() == -9, gateway.newest_log()


async def has_worked(gateway: GatewayProcess, load: GatewayLoad) -> bool:
    """Whether tools ran and decisions were taken: on a slow machine it may all have died before."""
    has_run = (gateway.directory / "ran.txt").exists() and bool(load.answers)
    return has_run and len(load.acknowledged) >= DECISIONS


async def settled(gateway: GatewayProcess) -> bool:
    """Whether every case has ended or waits for a person."""
    query = "SELECT count(*) FROM cases WHERE status IN ('QUEUED', 'AUTHORIZED', 'EXECUTING')"
    return rows(gateway, query) == [(0,)]


def check_waiting(gateway: GatewayProcess, load: GatewayLoad) -> None:
    """What no one decided on waits still."""
    assert load.held <= set(waiting_cases(gateway))
    load.held |= set(waiting_cases(gateway))


async def check_agents(gateway: GatewayProcess, load: GatewayLoad) -> None:
    """Every reference that an agent was given leads to the ending of its own call."""
    async with gateway.agent() as agent:
        for case_id, n in sorted(load.answered.items())[:100]:
            text = text_of(await outcome(agent, case_id, wait_seconds=0))
            assert text.startswith(("EXECUTED", "REJECTED", "OUTCOME UNKNOWN")), text
            assert not text.startswith("EXECUTED") or f"changed {n}" in text or f"looked at {n}" in text


async def check_ledger_command(gateway: GatewayProcess) -> None:
    """The ledger verifies, as its command says."""
    command = (sys.executable, "-m", "atlas.ledger", "verify")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=gateway.environment)
    assert await asyncio.wait_for(process.wait(), DRAIN_SECONDS) == 0


def report(gateway: GatewayProcess, load: GatewayLoad, deaths: Counter[str], seed: int) -> str:
    """The figures of a crash run in one line."""
    found = dict(rows(gateway, "SELECT status, count(*) FROM cases GROUP BY status"))
    return (
        f"seed {seed}: {deaths.total()} kills {dict(deaths)}, {load.calls} calls, {load.lost} without an"
        f" answer, {dict(load.answers)}, {len(load.acknowledged)} decisions acknowledged, cases {found}"
    )


def check_records(gateway: GatewayProcess, load: GatewayLoad) -> None:
    """Every case is explained by its ledger, and every run of a tool by a case."""
    acts: dict[str, list[str]] = defaultdict(list)
    for entry in entries_in(gateway.data):
        acts[entry["case_id"]].append(entry["action"])
    ran = Counter((gateway.directory / "ran.txt").read_text().splitlines())
    cases = rows(gateway, "SELECT case_id, tool_name, arguments, status FROM cases")
    for case_id, tool, arguments, status in cases:
        check_case(acts[case_id], status, ran.pop(f"{tool} {json.loads(arguments).get('n')}", 0))
    assert not ran, "a tool ran without a case"
    assert set(load.answered) <= {case_id for case_id, *_ in cases}
    decided = dict(rows(gateway, "SELECT case_id, decision FROM decisions"))
    for case_id, decision in load.acknowledged.items():
        assert decided[case_id] == decision


def check_case(acts: list[str], status: str, times: int) -> None:
    """A case as it ended, what its ledger says, and how often its tool ran: each call is made once here."""
    assert acts[0] == "admit.queued" and acts.count("admit.queued") == 1
    refused = {"REJECTED": "decide.rejected", "WITHDRAWN": "admit.withdrawn"}  # by a person, or by its agent
    if status in refused:
        assert refused[status] in acts and "execute.started" not in acts and times == 0
        return
    assert status in ("EXECUTED", "OUTCOME_UNKNOWN"), (status, acts)
    assert acts.count("execute.started") == 1
    decided = {"decide.auto_approved", "decide.approved"} & set(acts[: acts.index("execute.started")])
    assert len(decided) == 1, acts
    ending = "execute.finished" if status == "EXECUTED" else "execute.outcome_unknown"
    assert acts.count(ending) == 1
    assert times == 1 if status == "EXECUTED" else times <= 1, (acts, times)


def seed_of_test() -> int:
    """A seed that is printed, or the one to repeat."""
    return int(os.environ.get("ATLAS_TEST_SEED", time.time_ns() % 10_000))


async def test_a_gateway_killed_a_few_times_under_load_executes_nothing_twice(tmp_path: Path) -> None:
    """Killed anywhere, in commits, at the moments of the path: tools, cases and ledger agree in the end."""
    await crash(build_gateway(tmp_path), kills=3, seed=seed_of_test())


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_gateway_killed_300_times_under_load_executes_nothing_twice(tmp_path: Path) -> None:
    """The same, long enough to hit the rare moments."""
    await crash(build_gateway(tmp_path), kills=300, seed=seed_of_test())


async def test_nothing_begins_under_a_stop_of_a_gateway_that_is_killed_under_load(tmp_path: Path) -> None:
    """Stopped and lifted over HTTP and by other processes, killed anywhere; no call is lost or runs twice."""
    await crash_with_stops(build_gateway(tmp_path), kills=3, seed=seed_of_test())


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_nothing_begins_under_a_stop_of_a_gateway_that_is_killed_300_times(tmp_path: Path) -> None:
    """The same, long enough to hit the rare moments."""
    await crash_with_stops(build_gateway(tmp_path), kills=300, seed=seed_of_test())


async def crash_with_stops(gateway: GatewayProcess, kills: int, seed: int) -> None:
    """Kill a gateway that often while a person stops and lifts."""
    stopper = Stopper(gateway, random.Random(seed + 2))  # noqa: S311 - to be repeated
    await crash(gateway, kills, seed, stopper=stopper)
