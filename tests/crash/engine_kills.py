"""Runs an engine, kills it at random moments, and starts it again at once on the same port."""

import asyncio
import contextlib
import os
import random
import re
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MORTAL = Path(__file__).parent / "mortal_engine.py"
START_SECONDS = 90.0
DEATH_SECONDS = 1.5  # for a commit that does not come: there may be nothing left to do


class MortalEngine:
    """The process, and how often it died where."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.directory = directory
        self.log = directory / "engine.log"
        self.url = ""
        self.deaths = {"anywhere": 0, "starting": 0, "before": 0, "during": 0, "after": 0}
        self._chance = chance
        self._port = "0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, die: str = "") -> None:
        """Start it, and return when it listens or has died on the way."""
        await self._spawn(die)
        assert self._process is not None and self._process.stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
            if found := re.search(r"listening on (http://\S+:(\d+))", line.decode()):
                self.url, self._port = found[1], found[2]

    async def live_and_die(self) -> None:
        """Start it and kill it: at a commit, at any moment of its work, or while it starts."""
        how = self._chance.choice(("anywhere", "anywhere", "starting", "before", "during", "after"))
        if how == "starting":
            await self._spawn()
            await asyncio.sleep(self._chance.uniform(0.0, 0.9))
        elif how == "anywhere":
            await self.start()
            await asyncio.sleep(self._chance.uniform(0.0, 0.5))
        else:
            await self.start(f"{how} {self._chance.randint(1, 60)}")
            with contextlib.suppress(asyncio.TimeoutError):
                assert self._process is not None
                await asyncio.wait_for(self._process.wait(), DEATH_SECONDS)
        assert self._process is not None
        is_alive = self._process.returncode is None
        await self.kill("anywhere" if is_alive and how != "starting" else how)

    async def kill(self, how: str = "anywhere") -> None:
        """End it with SIGKILL, if it still runs; nothing but SIGKILL may have ended it before."""
        assert self._process is not None
        self.deaths[how] += 1
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)  # Process.kill may take its status from asyncio
        status = await asyncio.wait_for(self._process.wait(), START_SECONDS)
        assert status == -9, f"the engine ended with {status}:\n{self.log.read_text()[-3000:]}"

    async def _spawn(self, die: str = "") -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(str(MORTAL), "--port", self._port, "--data-dir", str(self.directory)),
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ATLAS_TEST_DIE": die},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
