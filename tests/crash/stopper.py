"""A person who stops and lifts at a gateway that dies again and again, over HTTP and by another process."""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

from gateway_process import GatewayProcess
from kept import entries_in, is_begun, location_in
from stopping import ask

from atlas.database.sharing import shared
from atlas.models import Scope, Stop
from atlas.stop.stops import Stops
from crash.gateway_load import rows

THINGS = (
    (Scope.EVERYTHING, ""),
    (Scope.AGENT, "agent"),
    (Scope.TOOL, "look"),
    (Scope.TOOL, "change"),
)


@dataclass
class Stopper:
    """What was stopped and lifted, as far as it was acknowledged."""

    gateway: GatewayProcess
    random: random.Random
    is_over: bool = False
    stopped: set[str] = field(default_factory=set)
    lifted: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Stop and lift until it is over."""
        while not self.is_over:
            with contextlib.suppress(Exception):  # the gateway is gone: the next one will be there soon
                await self._act()
            await asyncio.sleep(self.random.uniform(0.05, 0.4))  # at random: not for anything to happen

    async def _act(self) -> None:
        if not is_begun(self.gateway.data):
            return  # the first start is not over
        stops = await self.in_force()
        if stops and self.random.random() < 0.6:
            await self.lift(self.random.choice(stops))
        else:
            await self._stop(*self.random.choice(THINGS))

    async def in_force(self) -> tuple[Stop, ...]:
        """What is stopped, from the file."""
        file = shared(location_in(self.gateway.data))
        return await Stops(file).in_force()

    async def _stop(self, scope: Scope, target: str) -> None:
        if self.random.random() < 0.5:
            answer = await ask(self.gateway, scope=scope.value, target=target, reason="fire")
            assert answer.status_code in (200, 201)
            self.stopped.add(answer.json()["stop_id"])
            return
        file = shared(location_in(self.gateway.data))
        stop = await Stops(file).stop(scope, target, reason="fire", person_name="anna")
        self.stopped.add(stop.stop_id)

    async def lift(self, stop: Stop) -> None:
        """Lift one."""
        if self.random.random() < 0.5:
            answer = await ask(self.gateway, f"/{stop.stop_id}/lift", reason="it is out")
            assert answer.status_code == 200
        else:
            file = shared(location_in(self.gateway.data))
            await Stops(file).lift(stop.stop_id, reason="it is out", person_name="bob")
        self.lifted.add(stop.stop_id)

    async def end(self) -> None:
        """Lift all; the gateway runs."""
        self.is_over = True
        for stop in await self.in_force():
            await self.lift(stop)

    def check(self) -> None:
        """Nothing that a stop covers was admitted or begun between its entry and the one of its lift."""
        tools = dict(rows(self.gateway, "SELECT case_id, tool_name FROM cases"))
        holds: dict[str, tuple[str, str]] = {}
        begun, ended, begins = set(), set(), 0
        for entry in entries_in(self.gateway.data):
            detail = entry["detail"]
            if entry["action"] == "stop.begun":
                holds[detail["stop_id"]] = (detail["scope"], detail["target"])
                begun.add(detail["stop_id"])
            elif entry["action"] == "stop.lifted":
                del holds[detail["stop_id"]]
                ended.add(detail["stop_id"])
            elif entry["action"] in ("admit.queued", "execute.started"):
                covered = {("everything", ""), ("agent", "agent"), ("tool", tools[entry["case_id"]])}
                assert not covered & set(holds.values()), (entry, holds)
                begins += 1
        assert self.stopped <= begun and self.lifted <= ended and not holds
        assert begun and begins, "nothing was stopped, or nothing was called"
        print(f"{len(begun)} stops ({len(self.stopped)} acknowledged), {begins} admissions and executions")
