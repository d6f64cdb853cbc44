"""What it costs that very many calls wait for a person, in the whole gateway: cases, ledger and engine.

    python benchmarks/holiday_gateway.py [--waiting 100000] [--rounds 40]

One call is brought to its wait by the gateway. The others are copies: the gateway's own functions write their
rows (tests/support/waiting_cases.py). Measured are:

- the start, until /readyz says ready, and the memory;
- the CPU time of a gateway while no agent calls it;
- a governed call that has nothing to do with those that wait;
- a call that is the same as one that waits, and get_outcome of it;
- an approval, until its outcome is there.

Each is measured beside the same gateway with one call waiting.
"""

import argparse
import asyncio
import json
import pathlib
import sys
import tempfile
import time

import httpx

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from engine import quantiles  # noqa: E402
from gateway_process import GatewayProcess, call, eventually, reference_in  # noqa: E402
from processes import cpu_seconds, peak_memory  # noqa: E402
from waiting_cases import copy_waiting_case  # noqa: E402

DECISIONS = 50
IDLE_SECONDS = 5
TOOL = "modify_welfare_record"


def arguments(number):
    """Returns the arguments of a call that a person decides on."""
    return {"beneficiary_id": f"BEN-{number}", "changes": {"status": "suspended"}}


async def start(gateway):
    """Starts the gateway; returns the milliseconds until it is ready and what it takes while no one calls."""
    begun = time.monotonic()
    await gateway.start()
    async with httpx.AsyncClient() as http:

        async def is_ready():
            return (await http.get(f"{gateway.url}/readyz")).status_code == 200

        await eventually(is_ready)
    ready, started = time.monotonic() - begun, cpu_seconds(gateway.process_id)
    await asyncio.sleep(1)
    memory, used = peak_memory(gateway.process_id), cpu_seconds(gateway.process_id)
    await asyncio.sleep(IDLE_SECONDS)
    idle = (cpu_seconds(gateway.process_id) - used) / IDLE_SECONDS
    return {
        "start to ready, ms": round(ready * 1000),
        "CPU of that, ms": round(started * 1000),
        "RSS when ready, MB": memory,
        "CPU while no one calls, ms a second": round(idle * 1000, 1),
    }


async def timed(made):
    """Returns the milliseconds that something took, and its result."""
    begun = time.monotonic()
    result = await made
    return (time.monotonic() - begun) * 1000, result


async def measure(gateway, rounds, waiting):
    """Returns what calls, questions and decisions take; `waiting` are references and their numbers."""
    unrelated, again, outcomes, decided = [], [], [], []
    async with gateway.agent(sse=True) as agent:
        for _ in range(rounds):
            took, _ = await timed(call(agent, "check_status", beneficiary_id="BEN-123"))
            unrelated.append(took)
        for case_id, number in waiting[:rounds]:
            took, result = await timed(call(agent, TOOL, **arguments(number)))
            assert reference_in(result) == case_id
            again.append(took)
            took, _ = await timed(call(agent, "get_outcome", ref=case_id))
            outcomes.append(took)
        took, listed = await timed(agent.list_resources())
        for case_id, _ in waiting[-DECISIONS:]:
            begun = time.monotonic()
            assert (await gateway.decide(case_id)).status_code == 200
            result = await call(agent, "get_outcome", ref=case_id, wait_seconds=20)
            assert result.structured_content["status"] == "EXECUTED", result
            decided.append((time.monotonic() - begun) * 1000)
    return {
        "unrelated governed call, ms": quantiles(unrelated),
        "the same call again, ms": quantiles(again),
        "get_outcome, ms": quantiles(outcomes),
        f"list of {len(listed)} resources, ms": round(took, 1),
        "approval to outcome, ms": quantiles(decided),
        "peak RSS, MB": peak_memory(gateway.process_id),
    }


async def run(options):
    """Measures with few waiting, then with all of them."""
    with tempfile.TemporaryDirectory() as directory:
        gateway = GatewayProcess(pathlib.Path(directory))
        try:
            started = await start(gateway)
            async with gateway.agent() as agent:
                waiting = [
                    (reference_in(await call(agent, TOOL, **arguments(-n))), -n)
                    for n in range(1, DECISIONS + 2)
                ]
            found = await measure(gateway, options.rounds, waiting[1:])
            print(json.dumps({"50 waiting": started | found}, indent=2), flush=True)
            await gateway.stop()
            begun = time.monotonic()
            made = await copy_waiting_case(gateway.data, waiting[0][0], options.waiting, arguments=arguments)
            print(f"made in {time.monotonic() - begun:.0f} s", flush=True)
            started = await start(gateway)
            found = await measure(gateway, options.rounds, list(zip(made, range(len(made)), strict=True)))
            print(json.dumps({f"{options.waiting} waiting": started | found}, indent=2))
        finally:
            await gateway.kill()


def main():
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
