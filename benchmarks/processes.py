"""The server processes of the benchmarks: started from a source text, and what they cost."""

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


@contextlib.asynccontextmanager
async def served(source: str, *arguments: str) -> AsyncIterator[tuple[str, int]]:
    """Origin and process id of a program that prints the port it listens on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), 40))
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.kill()
        await process.wait()


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process, by the clock that Linux keeps of it (clock_getcpuclockid(3))."""
    return time.clock_gettime(~process_id << 3 | 2)


def peak_memory(process_id: int) -> float:
    """The largest resident size of a process so far, in MB."""
    return _megabytes(process_id, "VmHWM")


def resident_memory(process_id: int) -> float:
    """What a process holds in memory now, in MB."""
    return _megabytes(process_id, "VmRSS")


def _megabytes(process_id: int, field: str) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return round(int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024, 1)  # type: ignore[index]
