"""Three gateways, a balancer, an engine and PostgreSQL: all are killed, frozen and cut off under load.

No call is lost, none runs twice, each decision that was acknowledged holds, and the ledger verifies.
"""

import asyncio
import contextlib
import logging
import random
from collections import defaultdict
from functools import partial
from pathlib import Path

import psycopg
import pytest
from gateway_process import GatewayProcess, eventually, outcome, text_of
from haproxy import HAProxy, program
from postgres import postgres_server
from several_gateways import SeveralGateways, several_gateways

from crash.chaos import ENDINGS, Chaos
from crash.chaos_load import ChaosLoad, at_the_balancer
from crash.test_gateway_crash import DECISIONS, check_case, seed_of_test

LEASE_SECONDS = 6.0
DRAIN_SECONDS = 200.0
UNSETTLED = "SELECT case_id, status FROM cases WHERE status IN ('QUEUED', 'AUTHORIZED', 'EXECUTING')"

pytestmark = pytest.mark.skipif(program() is None, reason="There is no HAProxy: install Debian's package")


async def chaos(directory: Path, *, many: int, seed: int) -> None:
    """Break that many things under load, and check everything that was acknowledged."""
    logging.getLogger("mcp.client").setLevel(logging.CRITICAL)  # whose connections break all the time
    with postgres_server() as postgres:
        haproxy = HAProxy(directory)
        url, lease = postgres.new_database("chaos"), str(LEASE_SECONDS)
        try:
            async with several_gateways(
                directory, url, many=3, origin=haproxy.url, ATLAS_TEST_LEASE=lease
            ) as several:
                ports = several.balancer.servers
                await haproxy.start(ports)
                chance = random.Random(seed)  # noqa: S311 - to be repeated
                broken = Chaos(several, postgres, haproxy, ports, chance, LEASE_SECONDS)
                await under_load(several, broken, many=many, seed=seed)
        finally:
            await haproxy.kill()


async def under_load(several: SeveralGateways, broken: Chaos, *, many: int, seed: int) -> None:
    """The load goes on until enough was broken, then all of it is brought to an end and compared."""
    front = at_the_balancer(GatewayProcess(several.directory), broken.haproxy.url)
    load = ChaosLoad(front, random.Random(seed + 1), rows=several.rows)  # noqa: S311 - to be repeated
    sending = asyncio.create_task(load.run())
    try:
        async with broken.supervised():
            await broken.run(many)
            await eventually(partial(has_worked, several, load), seconds=DRAIN_SECONDS)
            load.is_over = True
            await asyncio.wait_for(sending, DRAIN_SECONDS)
            await eventually(partial(settled, several), seconds=DRAIN_SECONDS)
            load.held -= withdrawn(several)  # their agents had hung up
            assert not (gone := load.held - set(load.waiting())), acts_of(several, gone)
            load.held |= set(load.waiting())
            await load.decide_held()
            await eventually(partial(settled, several), seconds=DRAIN_SECONDS)
            assert not load.waiting()
            await check_agents(load)
    finally:
        sending.cancel()
        print(report(several, broken, load, seed))
    check_records(several, load)
    assert set(broken.endings) <= ENDINGS, broken.endings


async def has_worked(several: SeveralGateways, load: ChaosLoad) -> bool:
    """Whether tools ran and decisions were taken."""
    return bool(several.ran()) and bool(load.answers) and len(load.acknowledged) >= DECISIONS


async def settled(several: SeveralGateways) -> bool:
    """Whether every case has ended or waits for a person."""
    with contextlib.suppress(psycopg.Error):
        return several.rows(UNSETTLED) == []
    return False


def acts_of(several: SeveralGateways, case_ids: set[str]) -> list[tuple[str, str]]:
    """What the ledger says of some cases."""
    entries = several.entries()
    return [(entry["case_id"], entry["action"]) for entry in entries if entry["case_id"] in case_ids]


def withdrawn(several: SeveralGateways) -> set[str]:
    """The calls that their agents took back while they waited for a person."""
    return {case_id for (case_id,) in several.rows("SELECT case_id FROM cases WHERE status = 'WITHDRAWN'")}


async def check_agents(load: ChaosLoad) -> None:
    """Every reference that an agent was given leads to the ending of its own call, at any gateway."""
    async with load.gateway.agent() as agent:
        for case_id, n in sorted(load.answered.items())[:100]:
            text = text_of(await outcome(agent, case_id, wait_seconds=0))
            assert text.startswith(("EXECUTED", "REJECTED", "OUTCOME UNKNOWN", "WITHDRAWN")), text
            assert not text.startswith("EXECUTED") or f"changed {n}" in text or f"looked at {n}" in text


def check_records(several: SeveralGateways, load: ChaosLoad) -> None:
    """Every case is explained by its ledger, and every run of a tool by a case."""
    acts: dict[str, list[str]] = defaultdict(list)
    for entry in several.entries():
        acts[entry["case_id"]].append(entry["action"])
    ran = several.ran()
    cases = several.rows("SELECT case_id, tool_name, arguments::json->>'n', status FROM cases")
    for case_id, tool, n, status in cases:
        check_one(acts[case_id], status, ran.pop(f"{tool} {n}", 0))
    assert not ran, "a tool ran without a case"
    assert set(load.answered) <= {case_id for case_id, *_ in cases}
    decided = dict(several.rows("SELECT case_id, decision FROM decisions"))
    for case_id, decision in load.acknowledged.items():
        assert decided[case_id] == decision


def check_one(acts: list[str], status: str, times: int) -> None:
    """A case of which its agent hung up while it waited for a person has ended without a call."""
    if status == "WITHDRAWN":
        assert "execute.started" not in acts and times == 0
        return
    check_case(acts, status, times)


def report(several: SeveralGateways, broken: Chaos, load: ChaosLoad, seed: int) -> str:
    """The figures of a run in one line."""
    found = dict(several.rows("SELECT status, count(*) FROM cases GROUP BY status"))
    return (
        f"seed {seed}: {broken.done.total()} times {dict(broken.done)}, ends {dict(broken.endings)},"
        f" {load.calls} calls, {load.lost} without an answer, {dict(load.answers)},"
        f" {len(load.acknowledged)} decisions acknowledged, cases {found}"
    )


@pytest.mark.timeout(1200)
async def test_a_few_things_that_break_under_load_lose_no_call_and_run_none_twice(tmp_path: Path) -> None:
    """Each kind of trouble once."""
    await chaos(tmp_path, many=7, seed=seed_of_test())


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_300_things_that_break_under_load_lose_no_call_and_run_none_twice(tmp_path: Path) -> None:
    """The same, long enough to hit the rare moments."""
    await chaos(tmp_path, many=300, seed=seed_of_test())
