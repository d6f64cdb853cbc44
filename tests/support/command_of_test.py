"""A command of the gateway, `python -m MODULE …`, as tests type it: see `quick_python`."""

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path

from nursery import ROOT, quick_python

SECONDS = 250.0
Ran = subprocess.CompletedProcess[str]


def ran(module: str, *words: str, environment: Mapping[str, str], directory: Path = ROOT) -> Ran:
    """Run it to its end, with nothing to read; its status, and what it printed."""
    return subprocess.run(
        [quick_python(), "-m", module, *words],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT)} | dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


async def ran_beside(module: str, *words: str, environment: Mapping[str, str], directory: Path = ROOT) -> Ran:
    """The same while other things go on."""
    return await asyncio.to_thread(ran, module, *words, environment=environment, directory=directory)
