"""An engine in a process of its own, as an Inngest server elsewhere that has keys."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from gateway_process import ROOT, WAIT_SECONDS

EVENT_KEY = "event-key-of-the-tests"
OLD_KEY = "0a" * 32


@contextlib.asynccontextmanager
async def engine(directory: Path, **environment: str) -> AsyncIterator[str]:
    """An engine with the old signing key; gives its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atlas.engine", "--port", "0", "--data-dir", str(directory)),
        *("--event-key", EVENT_KEY, "--signing-key", OLD_KEY),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), WAIT_SECONDS)
        yield line.decode().removeprefix("listening on ").strip()
    finally:
        process.kill()
        await asyncio.wait_for(process.wait(), WAIT_SECONDS)
