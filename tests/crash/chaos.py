"""What goes wrong with several gateways, one thing after the other, and who starts them again."""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from gateway_process import GatewayProcess
from haproxy import HAProxy
from postgres import PostgresServer
from several_gateways import SeveralGateways

from atlas.operate.given_up import GIVEN_UP_STATUS

MOMENTS = (
    "before atlas.path AssessAndDecide.assess",
    "after atlas.path AssessAndDecide.assess",
    "after atlas.decide Decisions.record",
    "before atlas.execute Execution._claim",
    "before atlas.agents.calling ToolCaller.call",
    "after atlas.agents.calling ToolCaller.call",
    "after atlas.execute Execution._record",
)
NO_START = 3  # the status of a gateway that cannot start, for instance because the database is away
ENDINGS = {-9, GIVEN_UP_STATUS, NO_START, 1}


@dataclass
class Chaos:
    """Breaks things at random; each is mended soon after, by itself or by the supervisor."""

    several: SeveralGateways
    postgres: PostgresServer
    haproxy: HAProxy
    ports: list[int]
    random: random.Random
    lease_seconds: float
    done: Counter[str] = field(default_factory=Counter)
    endings: Counter[int] = field(default_factory=Counter)
    is_over: bool = False

    async def run(self, many: int) -> None:
        """Break so many things."""
        ways: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("gateway killed", self._kill_gateway),
            ("gateway killed", self._kill_gateway),
            ("engine killed", self._kill_engine),
            ("database stopped", self._stop_database),
            ("balancer killed", self._kill_balancer),
            ("gateway frozen", self._freeze),
            ("network stalled", self._stall),
        ]
        for number in range(many):
            name, way = ways[number % len(ways)] if number < len(ways) else self.random.choice(ways)
            await way()
            self.done[name] += 1
            await asyncio.sleep(self.random.uniform(0.2, 2.0))  # at random: not for anything to happen

    @contextlib.asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Gateways that end are started again, as systemd or Docker does it."""
        tasks = [asyncio.create_task(self._supervise(gateway)) for gateway in self.several.gateways]
        try:
            yield
        finally:
            self.is_over = True
            await asyncio.gather(*tasks)

    async def _supervise(self, gateway: GatewayProcess) -> None:
        while not self.is_over:
            if gateway.has_ended:
                self.endings[await gateway.ended()] += 1
                moment = self.random.choice(MOMENTS) if self.random.random() < 0.3 else ""
                with contextlib.suppress(AssertionError):  # it ended before it answered
                    await gateway.start(ATLAS_TEST_DIE=moment)
            await asyncio.sleep(0.1)

    def _one(self) -> GatewayProcess:
        return self.random.choice(self.several.gateways)

    async def _kill_gateway(self) -> None:
        _signal(self._one(), signal.SIGKILL)

    async def _kill_engine(self) -> None:
        await self.several.engine.kill()
        await asyncio.sleep(self.random.uniform(0.0, 2.0))
        await self.several.engine.start()

    async def _stop_database(self) -> None:
        await asyncio.to_thread(self.postgres.stop)
        await asyncio.sleep(self.random.uniform(0.0, 3.0))
        await asyncio.to_thread(self.postgres.start)

    async def _kill_balancer(self) -> None:
        await self.haproxy.kill()
        await asyncio.sleep(self.random.uniform(0.0, 1.0))
        await self.haproxy.start(self.ports)

    async def _freeze(self) -> None:
        gateway = self._one()
        _signal(gateway, signal.SIGSTOP)
        await asyncio.sleep(self._while_away())
        _signal(gateway, signal.SIGCONT)

    async def _stall(self) -> None:
        relay = self.random.choice(self.several.relays)
        relay.stall()
        await asyncio.sleep(self._while_away())
        relay.resume()

    def _while_away(self) -> float:
        """For a moment, or for longer than a lease."""
        return self.random.choice((0.5, 1.0)) * self.random.uniform(0.2, 2.2) * self.lease_seconds


def _signal(gateway: GatewayProcess, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if not gateway.has_ended:
            os.kill(gateway.process_id, number)
