"""Two gateways are replaced by newer ones, one after the other, while agents and people work."""

import asyncio
import json
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from balancers import missing
from eras import STATELESS
from fastmcp import Client
from gateway_process import ROOT, call, eventually, outcome, reference_in, text_of
from office_of_gateways import Office, office

from atlas import ledger
from tests.support.migrations import with_migration
from tests.support.postgres import PostgresServer

NEW = "99.0.0"
ADDED = 'op.add_column("cases", sa.Column("later", sa.Text))'
STEADY = ("legacy", STATELESS)  # over streamable HTTP; beside them one works over SSE


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The gateway's program of a later version: this one with one more migration and another number."""
    folder = tmp_path / "newer"
    shutil.copytree(ROOT / "atlas", folder / "atlas", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("gateway.py", "workflows.py"):
        shutil.copy(ROOT / file, folder)
    with_migration(folder, ADDED, migrations=folder / "atlas" / "database" / "migrations")
    about = folder / "atlas" / "__init__.py"
    text = about.read_text()
    assert "__version__ = " in text
    about.write_text(f'{text}\n__version__ = "{NEW}"\n')
    return folder / "gateway.py"


class Agent:
    """An agent that works on and on; it counts what it got, and keeps every error that it was told."""

    def __init__(self, running: Office, name: str) -> None:
        self._running = running
        self._name = name
        self.cases: list[str] = []
        self.done = 0
        self.errors: list[str] = []
        self.is_over = False

    async def work(self, client: Client[Any]) -> None:
        """Make calls of which a person approves each second one, until it is told to end."""
        while not self.is_over:
            read = await call(client, "check_status", beneficiary_id="BEN-123")
            assert not read.is_error, text_of(read)
            risky = {"beneficiary_id": "BEN-123", "reason": f"{self._name}, {len(self.cases)}"}
            case_id = reference_in(await call(client, "request_payment_extension", **risky))
            self.cases.append(case_id)
            decided = await self._running.decide(case_id)
            assert decided.status_code == 200, decided.text
            told = text_of(await outcome(client, case_id))
            while "now due on" not in told and not told.startswith(("EXECUTED", "FAILED", "OUTCOME")):
                told = text_of(await outcome(client, case_id))
            assert "now due on" in told, told
            self.done += 1

    async def work_and_connect_again(self, connect: Callable[[], Client[Any]]) -> None:
        """The same over SSE, where a stream that ends tells its client to come back."""
        while not self.is_over:
            try:
                async with connect() as client:
                    await self.work(client)
            except AssertionError:
                raise
            except Exception as error:
                self.errors.append(repr(error))


async def until_more(agents: list[Agent], *, times: int = 1) -> None:
    """Wait until each agent has had that many more outcomes."""
    wanted = {agent: agent.done + times for agent in agents}

    async def is_reached() -> bool:
        return all(agent.done >= number for agent, number in wanted.items())

    await eventually(is_reached, seconds=240)


async def serves(running: Office, version: str) -> bool:
    """Whether the balancer leads to a gateway of a version."""
    async with running.http() as client:
        return (await client.get("/")).json()["version"] == version


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("kind", "goes_back"), [("haproxy", True), pytest.param("nginx", False, marks=pytest.mark.soak)]
)
async def test_gateways_are_replaced_one_after_the_other_and_no_call_fails(
    kind: str, goes_back: bool, tmp_path: Path, server: PostgresServer, newer: Path
) -> None:
    """Old and new work side by side; an old one that starts again does so on the newer tables."""
    if why := missing(kind):
        pytest.skip(why)
    async with office(kind, tmp_path, server.new_database(kind)) as running, AsyncExitStack() as stack:
        agents = [Agent(running, f"agent {number}") for number in range(len(STEADY) + 1)]
        tasks = []
        for agent, era in zip(agents, STEADY, strict=False):
            client = await stack.enter_async_context(running.agent(era=era))
            tasks.append(asyncio.create_task(agent.work(client)))
        connect = partial(running.agent, sse=True)
        tasks.append(asyncio.create_task(agents[-1].work_and_connect_again(connect)))
        try:
            await until_more(agents)
            await replace(running, 0, newer)
            await eventually(partial(serves, running, NEW))
            await until_more(agents)
            if goes_back:  # the old one starts again, on tables of the new one
                await replace(running, 1, running.gateways[1].script)
                await until_more(agents)
            await replace(running, 1, newer)
            await until_more(agents)
        finally:
            for agent in agents:
                agent.is_over = True
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one for one in ended if one is not None] == [], running.log()[-5000:]
        told = {error for agent in agents for error in agent.errors}
        assert all("Connection closed" in error for error in told), told
        check_record(running, agents)


async def replace(running: Office, number: int, script: Path) -> None:
    """Stop a gateway as its supervisor does, and start another program in its place."""
    gateway = running.gateways[number]
    running.tell_to_stop(number)
    await gateway.ended()
    gateway.script = script
    await running.start(number, PYTHONPATH=f"{script.parent}:{ROOT / 'tests' / 'support'}")


def check_record(running: Office, agents: list[Agent]) -> None:
    """Every case that an agent knows was executed once, no other one hangs, and the ledger is whole."""
    known = {case_id for agent in agents for case_id in agent.cases}
    executed = running.rows(
        "SELECT case_id FROM ledger WHERE action = 'execute.started' AND case_id = ANY(%s)", sorted(known)
    )
    assert sorted(row[0] for row in executed) == sorted(known)
    columns = ", ".join(ledger.FIELDS)
    rows = running.rows(f"SELECT {columns} FROM ledger ORDER BY seq")
    chain = [dict(zip(ledger.FIELDS, row, strict=True)) for row in rows]
    assert ledger.verify(entry | {"detail": json.loads(entry["detail"])} for entry in chain) == len(chain)
    open_cases = running.rows("SELECT status, count(*) FROM cases GROUP BY status")
    assert {status for status, _ in open_cases} <= {"EXECUTED", "PENDING_REVIEW"}, open_cases
