"""Agents of frameworks, each a process whose framework is installed in a folder of its own."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import uv
from acceptance.npm_clients import NODE, NODE_ENVIRONMENT, NPM
from gateway_process import AGENT_KEY, ROOT
from one_certificate import whole_environment
from registry import settings_for_uv

DRIVERS = Path(__file__).parent / "frameworks"
UV = uv.find_uv_bin()  # makes in two seconds the environment that takes pip half a minute
INSTALL_SECONDS = 300
LINE_SECONDS = 200  # more than a driver gives a run
END_SECONDS = 10


def command_of(name: str) -> tuple[str | Path, ...]:
    """What starts a driver, with its framework installed at the first use and when a pin has changed.

    It is in ATLAS_TEST_FRAMEWORKS or else in .framework-tests of the checkout.
    """
    directory = Path(os.environ.get("ATLAS_TEST_FRAMEWORKS") or ROOT / ".framework-tests")
    directory.mkdir(parents=True, exist_ok=True)
    folder, pins = directory / name, DRIVERS / f"{name}.txt"
    installed, wanted = folder / "installed.txt", f"# Python {sys.version}\n{pins.read_text()}"
    script = DRIVERS / f"{name}.mjs"
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run beside these install the same
        if not installed.exists() or installed.read_text() != wanted:
            if script.exists():
                _install_from_npm(folder, pins.read_text().split())
            else:
                _install_from_pypi(folder, pins)
            installed.write_text(wanted)
    if not script.exists():
        return folder / "bin" / "python", DRIVERS / f"{name}.py"
    return NODE, shutil.copy(script, folder)  # Node looks for modules beside the script


def _install_from_npm(folder: Path, packages: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    command = [NODE, NPM, "install", "--no-audit", "--no-fund", "--prefix", folder, *packages]
    _succeed(command, whole_environment() | NODE_ENVIRONMENT)


def _install_from_pypi(folder: Path, pins: Path) -> None:
    environment = settings_for_uv() | whole_environment() | {"UV_PYTHON_DOWNLOADS": "never"}
    uv_alone = [UV, "--quiet", "--no-config"]
    _succeed([*uv_alone, "venv", "--clear", "--python", sys.executable, folder], environment)
    _succeed([*uv_alone, "pip", "install", "--python", folder, "--requirements", pins], environment)


def _succeed(command: list[str | Path], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS, env=environment
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stderr}"


class FrameworkProcess:
    """A driver: one agent, and one connection to the gateway over all of its runs."""

    def __init__(self, url: str, transport: str, log: Path) -> None:
        self.connected: dict[str, Any] = {}  # {"ready": true, "tools", "instructions"}
        self._arguments = (url, transport)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *command: str | Path) -> None:
        """Start what drives the agent, and return when it is connected."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                *self._arguments,
                env={"PATH": os.environ["PATH"], "HOME": str(self._log.parent), "ATLAS_AGENT_KEY": AGENT_KEY},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.connected = await self._line()

    async def run(self, *calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        """One run of the agent, whose model makes the calls in one turn: {"read", "flagged", "error"}."""
        return await self._ask({"calls": [{"tool": tool, "arguments": given} for tool, given in calls]})

    async def reconnect(self) -> None:
        """Do what the framework's users do when the gateway was restarted."""
        assert await self._ask({"reconnect": True}) == {"ready": True}

    async def end(self) -> None:
        """End it as the end of its user's program would."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(asyncio.TimeoutError):  # of a lost stream some clients wait for ever
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await self._line()

    async def _line(self) -> Any:
        assert self._process is not None and self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), LINE_SECONDS)
        assert line, f"the driver ended:\n{self._log.read_text()}"
        return json.loads(line)
