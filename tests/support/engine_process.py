"""`python -m atlas.engine` in a process of its own: an Inngest server that can be stopped and started."""

import asyncio
import re
import sys
from pathlib import Path

from gateway_process import ROOT, START_SECONDS, WAIT_SECONDS
from ports import kept_port

EVENT_KEY = "event-key-of-the-tests"
SIGNING_KEY = "5e1f" * 16


class EngineProcess:
    """An engine with keys, or in dev mode without."""

    def __init__(self, directory: Path, *, has_keys: bool) -> None:
        self.url = ""
        self._directory = directory
        self._keys = ["--event-key", EVENT_KEY, "--signing-key", SIGNING_KEY] if has_keys else []
        self._port = str(kept_port())
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, the second time on the same port, and return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "atlas.engine", "--port", self._port, "--data-dir", str(self._directory), *self._keys),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        while line := (await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)).decode():
            if found := re.search(r"listening on (http://\S+)", line):
                self.url = found[1]
                return
        raise AssertionError("the engine ended")

    async def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await asyncio.wait_for(self._process.wait(), WAIT_SECONDS)

    @property
    def gateway_settings(self) -> dict[str, str]:
        """The environment that makes a gateway use this engine."""
        if not self._keys:
            return {"INNGEST_DEV": self.url}
        return {
            "INNGEST_BASE_URL": self.url,
            "INNGEST_EVENT_KEY": EVENT_KEY,
            "INNGEST_SIGNING_KEY": f"signkey-test-{SIGNING_KEY}",
        }
