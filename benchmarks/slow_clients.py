"""How long a governed call takes beside 2,000 clients that send half a header, and without them, in one run.

    python benchmarks/slow_clients.py --clients 2000 --calls 60

Prints the medians, and how many files the gateway holds at most. Two rounds of each are taken in turns,
so that other load falls on both.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "support"), str(Path(__file__).parents[1])]

from gateway_process import GatewayProcess, call  # noqa: E402

HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


def open_files(gateway: GatewayProcess) -> int:
    """How many files and connections the process holds."""
    return len(list(Path(f"/proc/{gateway.process_id}/fd").iterdir()))


async def slow_client(port: int) -> None:
    """Send half a header, then a byte a second; begin again when the gateway has had enough."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HALF)
            while not reader.at_eof() and not writer.is_closing():
                await asyncio.sleep(1)
                writer.write(b"x")
                await writer.drain()
        await asyncio.sleep(1)


async def calls(gateway: GatewayProcess, count: int) -> list[float]:
    """The seconds that each of some governed calls took."""
    taken = []
    async with gateway.agent() as agent:
        for _ in range(count):
            before = time.perf_counter()
            answer = await call(agent, "check_status", beneficiary_id="BEN-123")
            taken.append(time.perf_counter() - before)
            assert not answer.is_error
    return taken


async def measure(clients: int, count: int) -> None:
    """Take the figures and print them."""
    without: list[float] = []
    beside: list[float] = []
    most_files = 0
    with tempfile.TemporaryDirectory() as directory:
        gateway = GatewayProcess(Path(directory))
        await gateway.start()
        port = int(gateway.url.rpartition(":")[2])
        try:
            await calls(gateway, 5)
            for _ in range(2):
                without += await calls(gateway, count)
                slow = [asyncio.create_task(slow_client(port)) for _ in range(clients)]
                await asyncio.sleep(3)
                beside += await calls(gateway, count)
                most_files = max(most_files, open_files(gateway))
                for task in slow:
                    task.cancel()
                await asyncio.gather(*slow, return_exceptions=True)
        finally:
            await gateway.kill()
    print(f"without slow clients: {statistics.median(without) * 1000:6.1f} ms (median of {len(without)})")
    print(f"beside {clients:5} clients: {statistics.median(beside) * 1000:6.1f} ms (median of {len(beside)})")
    print(f"open files of the gateway beside them: {most_files}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=60)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.clients, arguments.calls))
