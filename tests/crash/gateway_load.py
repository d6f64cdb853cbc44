"""Agents and reviewers of a gateway that dies again and again: they go on with the next one."""

import asyncio
import contextlib
import random
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from gateway_process import REFERENCE, ROOT, GatewayProcess, text_of
from kept import is_begun, rows_in

ROUND_SECONDS = 0.05
CALL_SECONDS = 15.0
SCRIPT = Path(__file__).with_name("crash_gateway.py")


def noting_gateway(directory: Path, **environment: str) -> GatewayProcess:
    """A gateway whose tools note that they ran, and that can be told when to kill itself; not started yet."""
    modules = f"{ROOT}:{ROOT}/tests:{ROOT}/tests/support"
    return GatewayProcess(directory, SCRIPT, PYTHONPATH=modules, **environment)


@dataclass
class GatewayLoad:
    """What was called, answered and decided, as agents and reviewers know it."""

    gateway: GatewayProcess
    random: random.Random
    is_over: bool = False
    calls: int = 0
    answered: dict[str, int] = field(default_factory=dict)  # n by the reference that an agent was given
    lost: int = 0  # calls whose answer did not come
    acknowledged: dict[str, str] = field(default_factory=dict)  # decision by reference
    held: set[str] = field(default_factory=set)  # cases on which no one decides before the end
    answers: Counter[str] = field(default_factory=Counter)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Call and decide until it is over."""
        await asyncio.gather(*(self._agent() for _ in range(3)), self._reviewer())

    def hang_up(self) -> None:
        """The gateway is dead: clients that would wait for its answers give up at once."""
        for connection in self._connections:
            connection.cancel()

    async def _agent(self) -> None:
        while not self.is_over:
            connection = asyncio.create_task(self._call_on())
            self._connections.add(connection)
            await asyncio.wait([connection], timeout=CALL_SECONDS)
            self._connections.discard(connection)
            connection.cancel()
            await asyncio.sleep(ROUND_SECONDS)

    async def _call_on(self) -> None:
        with contextlib.suppress(Exception):  # the gateway is gone: the next one will be there soon
            async with self.gateway.agent(sse=self.random.random() < 0.5) as client:
                while not self.is_over:
                    await self._call(client)

    async def _call(self, client: Any) -> None:
        self.calls += 1
        self.lost += 1  # until it is answered
        tool, n = self.random.choice(("look", "change")), self.calls
        text = text_of(await client.call_tool(tool, {"n": n}, raise_on_error=False))
        self.lost -= 1
        self.answers[text.partition(" ")[0]] += 1
        if found := REFERENCE.search(text):
            self.answered[found[0]] = n

    async def _reviewer(self) -> None:
        while not self.is_over:
            await self._decide_some()
            await asyncio.sleep(ROUND_SECONDS)

    async def _decide_some(self) -> None:
        for case_id in [each for each in waiting_cases(self.gateway) if each not in self.held][:20]:
            if case_id not in self.acknowledged and self.random.random() < 0.25:
                self.held.add(case_id)
                continue
            decision = "APPROVED" if int(case_id[-1], 16) % 4 else "REJECTED"
            with contextlib.suppress(Exception):
                if await self.decide(case_id, decision):
                    self.acknowledged[case_id] = decision

    async def decide(self, case_id: str, decision: str) -> bool:
        """Decide as a reviewer; says whether the gateway acknowledged it."""
        return (await self.gateway.decide(case_id, decision)).status_code == 200

    async def decide_held(self) -> None:
        """Approve what was held back; each is taken now."""
        for case_id in self.held:
            assert await self.decide(case_id, "APPROVED")
            self.acknowledged[case_id] = "APPROVED"


def rows(gateway: GatewayProcess, statement: str, *values: Any) -> list[Any]:
    """What a query of the case store finds."""
    return rows_in(gateway.data, statement, values) if is_begun(gateway.data) else []


def waiting_cases(gateway: GatewayProcess) -> list[str]:
    """The references of the cases that wait for a person."""
    with contextlib.suppress(
        sqlite3.Error, psycopg.Error
    ):  # between two gateways the file may be without its tables
        query = "SELECT case_id FROM cases WHERE status = 'PENDING_REVIEW' ORDER BY opened_at"
        return [case_id for (case_id,) in rows(gateway, query)]
    return []
