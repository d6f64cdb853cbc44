"""The stand-in for Modal as a process of its own, for tests with a real gateway process."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

TOKEN_ID, TOKEN_SECRET = "ak-test", "as-test"
START_SECONDS = 60.0


class ModalProcess:
    """`async with ModalProcess(tmp_path, function="app/fn", seconds=2) as modal`, and `modal.url`."""

    def __init__(
        self,
        directory: Path,
        *,
        function: str = "nislam-mics/ATLAS-NIST-Measure",
        target: str = "modal_loopback.functions:low",
        seconds: float = 0,
        is_held: bool = False,
        port: int = 0,
    ) -> None:
        self._calls = directory / "modal-calls.jsonl"  # outlives every gateway
        self._options = ["--function", f"{function}={target}", "--seconds", str(seconds)]
        self._options += ["--port", str(port)]
        self._release = directory / "modal-may-answer"
        self._options += ["--until", str(self._release)] if is_held else []
        self.function = function
        self.url = ""

    @property
    def environment(self) -> dict[str, str]:
        """What a gateway is started with to be judged by this function."""
        return {
            "MODAL_SERVER_URL": self.url,
            "MODAL_DISABLE_API_PROXY": "1",
            "MODAL_CONFIG_PATH": os.devnull,
            "MODAL_TOKEN_ID": TOKEN_ID,
            "MODAL_TOKEN_SECRET": TOKEN_SECRET,
            "MODAL_FUNCTION_NAME": self.function,
            "ATLAS_ASSESSOR": "modal",
        }

    def calls(self) -> list[dict[str, Any]]:
        """Every call of the function so far, with what arrived."""
        if not self._calls.exists():
            return []
        return [json.loads(line) for line in self._calls.read_text(encoding="utf-8").splitlines()]

    def release(self) -> None:
        """Let the function answer, where `is_held` keeps it from that."""
        self._release.touch()

    async def kill(self) -> None:
        """End it without a word to anyone."""
        self._process.kill()
        await self._process.wait()

    async def __aenter__(self) -> "ModalProcess":
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modal_loopback", *self._options),
            *("--token", f"{TOKEN_ID}:{TOKEN_SECRET}", "--calls", str(self._calls)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        assert self._process.stdout is not None
        self.url = (await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)).decode().strip()
        assert self.url.startswith("http://"), "the stand-in for Modal did not start"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except asyncio.TimeoutError:
            await self.kill()
