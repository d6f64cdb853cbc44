"""What one governed call makes the gateway do, counted: it costs more only if someone says so here."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from fastmcp import Client
from fastmcp.client.transports import SSETransport
from gateway_process import AGENT_KEY, GatewayProcess, eventually
from nursery import ROOT

CALLS = 12
# Of a call that its score approves, of a tool that only reads, in a session that has begun.
OF_A_CALL = {
    "statements of the case store": 32,
    "statements of the engine": 14,
    "changes handed to a writer": 7,
    "commits of the case store": 3,
    "commits of the engine": 2,
    "turns of the event loop": 42,
    "calls of Inngest's SDK": 1,
    "look-ups of a tool": 2,
}


async def have_ended(gateway: GatewayProcess, number: int) -> bool:
    """Whether the engine has kept the end of so many runs, which comes after the answer."""
    with closing(sqlite3.connect(gateway.data / "engine.db")) as connection:
        ended = connection.execute("SELECT count(*) FROM runs WHERE ended_at IS NOT NULL").fetchone()[0]
    return bool(ended == number)


async def counts_of(gateway: GatewayProcess, told: Path) -> dict[str, int]:
    """The counts at this moment."""
    os.kill(gateway.process_id, signal.SIGUSR1)

    async def taken() -> dict[str, int] | None:
        return taken_from(told)

    counts: dict[str, int] = await eventually(taken)
    return counts


def taken_from(told: Path) -> dict[str, int] | None:
    """What is told, which is taken away with it; None until it is there."""
    if not told.exists():
        return None
    counts: dict[str, int] = json.loads(told.read_text())
    told.unlink()
    return counts


@pytest.mark.sqlite("it counts at the driver of SQLite; benchmarks/governed_call.py measures the other one")
async def test_a_governed_call_makes_the_gateway_do_no_more_than_before(tmp_path: Path) -> None:
    """The least of some calls: what a slow machine or a reminder adds to one of them is no shape.

    Turns of the event loop differ by up to four, by which of two threads is ready first.
    """
    told = tmp_path / "counts.json"
    gateway = GatewayProcess(
        tmp_path, ROOT / "tests" / "support" / "counting_gateway.py", ATLAS_TEST_COUNTS=str(told)
    )
    await gateway.start()
    try:
        async with Client(SSETransport(f"{gateway.url}/mcp/sse", auth=AGENT_KEY)) as agent:
            counts = []
            for number in range(1, CALLS + 2):
                await agent.call_tool("check_status", {"beneficiary_id": "BEN-123"})
                await eventually(partial(have_ended, gateway, number))
                counts.append(await counts_of(gateway, told))
    finally:
        await gateway.kill()
    pairs = list(pairwise(counts))
    least = {what: min(after[what] - before[what] for before, after in pairs) for what in OF_A_CALL}
    assert all(least.values()), f"something is not counted any more: {least}"
    assert {what: max(least[what], most) for what, most in OF_A_CALL.items()} == OF_A_CALL
