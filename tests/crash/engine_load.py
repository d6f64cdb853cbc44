"""Sends events to an engine that dies again and again, and repeats each until it is acknowledged."""

import asyncio
import base64
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from crash.engine_app import Journal

KINDS = ("two", "keyed", "parallel", "flaky", "sleeper", "waiter", "cancellable", "parent")


@dataclass
class Load:
    """What was sent and acknowledged; half of what waits for a decision gets it only in the end."""

    url: str
    journal: Journal
    random: random.Random
    most_unfinished: int
    is_over: bool = False
    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)  # n: (kind, id of its event)
    posts: int = 0
    decisions_sent: dict[str, set[int]] = field(default_factory=dict)
    holidays: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Send events until it is over, a bounded number of them unfinished at a time."""
        gate, tasks = asyncio.Semaphore(self.most_unfinished), []
        async with httpx.AsyncClient(timeout=10) as client:
            while not self.is_over:
                await gate.acquire()
                n, kind = str(len(tasks)), self.random.choice(KINDS)
                task = asyncio.create_task(self._see_through(client, n, kind))
                task.add_done_callback(lambda _: gate.release())
                tasks.append(task)
            await asyncio.gather(*tasks)

    async def decide_holidays(self) -> None:
        """Send the decisions that were held back."""
        async with httpx.AsyncClient(timeout=10) as client:
            await asyncio.gather(*(self._decide(client, n) for n in self.holidays))

    async def _see_through(self, client: httpx.AsyncClient, n: str, kind: str) -> None:
        data: dict[str, Any] = {"n": n, "key": n, "milliseconds": self.random.randrange(600)}
        own_id = {"id": f"event-{n}"} if self.random.random() < 0.5 else {}
        event_id = await self._send(client, {"name": f"crash/{kind}", "data": data} | own_id)
        self.acknowledged[n] = (kind, event_id)
        if kind == "keyed":  # another event with the same key must not run it again
            await self._send(client, {"name": f"crash/{kind}", "data": data})
        if kind == "waiter" and self.random.random() < 0.5:
            self.holidays.append(n)
            return
        if kind == "waiter":
            await self._decide(client, n)
        elif kind == "cancellable":
            await until(lambda: n in self.journal.run_ids)
            await self._send(client, {"name": "crash/cancelled", "data": {"n": n}})
            self.cancelled.append(n)
        else:
            await until(lambda: n in self.journal.ended)

    async def _decide(self, client: httpx.AsyncClient, n: str) -> None:
        # An event that comes before the run waits is not for it, so it is repeated, as the gateway does.
        sent = self.decisions_sent.setdefault(n, set())
        while n not in self.journal.ended:
            sent.add(len(sent))
            decision = {"n": n, "decision": len(sent) - 1}
            await self._send(client, {"name": "crash/decided", "data": decision})
            await asyncio.sleep(0.2)

    async def _send(self, client: httpx.AsyncClient, event: dict[str, Any]) -> str:
        """Send until it is acknowledged, each time with the same seed; returns the id."""
        entropy = base64.b64encode(self.random.randbytes(10)).decode()
        headers = {"x-inngest-event-id-seed": f"{time.time_ns() // 1_000_000},{entropy}"}
        while True:
            self.posts += 1
            try:
                answer = await client.post(f"{self.url}/e/crash", json=event, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.02)
                continue
            assert answer.status_code == 200, answer.text
            return str(answer.json()["ids"][0])


async def until(condition: Any, *, seconds: float = 600) -> None:
    """Wait until the condition holds, and fail if it does not in time."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, "waited in vain"
        await asyncio.sleep(0.01)
