"""What a call costs on which a person decides: until its reference is there, and from approval to outcome.

    python benchmarks/approval.py [--rounds 60]

A gateway without grace answers a call at once with its reference. In each turn the same tool is called on a
bare FastMCP server and on the gateway. Then an agent waits for the outcome with `get_outcome`, and a person
approves: in turns at `/webhook/approval` and with the form of an open page of the desk. Printed are p50 and
p95 in milliseconds. An approval is measured from its request until the agent that waits has the outcome.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from fastmcp import Client
from fastmcp.client.transports import SSETransport
from governed_call import BARE_SERVER, ratio
from percentiles import p95

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from desk_case import form_of  # noqa: E402
from desk_visitor import Visitor  # noqa: E402
from gateway_process import (  # noqa: E402
    AGENT_KEY,
    REVIEWER_KEY,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    status_of,
    text_of,
)
from many_cases import FOR_A_PERSON, arguments  # noqa: E402
from processes import served  # noqa: E402

WAITS_SECONDS = 0.1  # until the question of an agent that waits has reached the gateway
WITHOUT_GRACE = {"ATLAS_GRACE_SECONDS": "0", "ATLAS_REVIEW_GRACE_SECONDS": "0"}


@dataclass
class Figures:
    """Milliseconds, one value a turn."""

    bare: list[float] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)
    webhook: list[float] = field(default_factory=list)
    desk: list[float] = field(default_factory=list)


@dataclass
class Office:
    """A bare server and a gateway, with an agent at each, and people who decide."""

    gateway: GatewayProcess
    bare: Client[Any]
    agent: Client[Any]
    webhook: httpx.AsyncClient
    desk: Visitor
    figures: Figures = field(default_factory=Figures)
    number: int = 0

    async def turn(self) -> None:
        """Everything once."""
        answer, took = await timed(call(self.bare, FOR_A_PERSON, **self._next()))
        assert not answer.is_error, answer
        self.figures.bare.append(took)
        for approve, taken in ((self.by_webhook, self.figures.webhook), (self.by_desk, self.figures.desk)):
            answer, took = await timed(call(self.agent, FOR_A_PERSON, **self._next()))
            case_id = reference_in(answer)
            await eventually(partial(waits, self.gateway, case_id))
            taken.append(await self._approved(case_id, await approve(case_id)))
        self.figures.pending.append(took)

    def _next(self) -> dict[str, Any]:
        """Other arguments than before: the same call would be the same case."""
        self.number += 1
        return arguments(self.number)

    async def by_webhook(self, case_id: str) -> Callable[[], Awaitable[httpx.Response]]:
        """The request of an approval at the webhook."""
        body = {"decision": "APPROVED", "event_id": case_id}
        return lambda: self.webhook.post("/webhook/approval", json=body)

    async def by_desk(self, case_id: str) -> Callable[[], Awaitable[httpx.Response]]:
        """The request of an approval with the form of a page that a person has open."""
        form = form_of((await self.desk.get(f"/desk/cases/{case_id}")).text, "APPROVED")
        path = f"/desk/cases/{case_id}/decision"
        return lambda: self.desk.post(path, data=form, headers={"HX-Request": "true"})

    async def _approved(self, case_id: str, send: Callable[[], Awaitable[httpx.Response]]) -> float:
        """Milliseconds from an approval until the agent that waits has the outcome."""
        told = asyncio.create_task(timed_end(outcome(self.agent, case_id)))
        await asyncio.sleep(WAITS_SECONDS)
        begun = time.perf_counter()
        answer = await send()
        assert answer.is_success, answer.text[:300]
        said, ended = await told
        assert "EXECUTED" in text_of(said), said
        return (ended - begun) * 1000


async def waits(gateway: GatewayProcess, case_id: str) -> bool:
    """Whether a call was judged, and waits for a person."""
    return status_of(gateway, case_id) == "PENDING_REVIEW"


async def timed(done: Awaitable[Any]) -> tuple[Any, float]:
    """What it gives, and the milliseconds that it took."""
    begun = time.perf_counter()
    result, ended = await timed_end(done)
    return result, (ended - begun) * 1000


async def timed_end(done: Awaitable[Any]) -> tuple[Any, float]:
    """What it gives, and when it was there."""
    return await done, time.perf_counter()


@contextlib.asynccontextmanager
async def office() -> AsyncIterator[Office]:
    """Servers, agents and people, while this is entered."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url, _ = await enter(served(BARE_SERVER))
        bare = await enter(Client(SSETransport(f"{url}/mcp/sse")))
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        gateway = GatewayProcess(Path(directory), ATLAS_REVIEWER_KEY=f"anna:{REVIEWER_KEY}", **WITHOUT_GRACE)
        await gateway.start()
        stack.push_async_callback(gateway.kill)
        agent = await enter(Client(SSETransport(f"{gateway.url}/mcp/sse", auth=AGENT_KEY)))
        key = {"Authorization": f"Bearer {REVIEWER_KEY}"}
        webhook = await enter(httpx.AsyncClient(base_url=gateway.url, headers=key, timeout=60))
        desk = await enter(Visitor(gateway))
        assert (await desk.sign_in(way="key", key=REVIEWER_KEY)).status_code == 303
        yield Office(gateway, bare, agent, webhook, desk)


async def measured(rounds: int) -> Figures:
    """Take the turns; the first ones are not counted."""
    async with office() as one:
        for _ in range(5):
            await one.turn()
        one.figures = Figures()
        for _ in range(rounds):
            await one.turn()
        return one.figures


def report(figures: Figures) -> None:
    """Print a line for each."""
    print(f"{'':44}{'p50 ms':>10}{'p95 ms':>10}")
    for name, values in (
        ("bare, the same tool", figures.bare),
        ("call to PENDING REVIEW", figures.pending),
        ("approval at the webhook to the outcome", figures.webhook),
        ("approval at the desk to the outcome", figures.desk),
    ):
        print(f"{name:44}{statistics.median(values):10.1f}{p95(values):10.1f}")
    print(f"call to PENDING REVIEW / bare: {ratio(figures.pending, figures.bare)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    report(asyncio.run(measured(parser.parse_args().rounds)))
