"""The systemd unit: what systemd says of it, and that the gateway starts, reloads and stops as it says."""

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from documentation import ROOT
from gateway_process import START_SECONDS, WAIT_SECONDS, eventually

from atlas.settings import Settings

UNIT = ROOT / "deploy" / "atlas-gateway.service"
HERE = "/opt/atlas-gateway"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def lines(name: str) -> list[str]:
    """The values of a key, in their order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze."""
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=WAIT_SECONDS)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder like the one that the unit names, with the Python of the tests."""
    folder = tmp_path / "opt"
    (folder / ".venv" / "bin").mkdir(parents=True)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (folder / "gateway.py").symlink_to(ROOT / "gateway.py")
    return folder


@needs_systemd
def test_systemd_understands_each_line(installed: Path, tmp_path: Path) -> None:
    """Without a word; one that is misspelled it names."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(HERE, str(installed)))
    done = analyze("verify", "--man=no", str(copy))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    copy.write_text(copy.read_text().replace("ProtectHome=", "ProtectHomes="))
    assert "ProtectHomes" in analyze("verify", "--man=no", str(copy)).stderr


@needs_systemd
def test_systemd_finds_little_that_it_could_still_take_away() -> None:
    """A service without any of this has 9.6 of 10; below 2 is called OK."""
    done = analyze("security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize(
    "call", ["prlimit64", "setrlimit", "setpriority", "sched_getaffinity", "execve", "openat"]
)
def test_the_filter_leaves_the_calls_that_the_gateway_makes(call: str) -> None:
    """It raises its own limit of files, and tries policies at a low priority."""
    allowed, denied = set[str](), set[str]()
    for line in lines("SystemCallFilter"):
        for group in line.removeprefix("~").split():
            (denied if line.startswith("~") else allowed).update(calls_of(group))
    assert call in allowed - denied


def calls_of(group: str) -> set[str]:
    """The calls of a group, and of the groups in it."""
    listed = analyze("syscall-filter", group).stdout.splitlines()[1:]
    names = {line.strip() for line in listed if line.strip() and not line.strip().startswith("#")}
    inner = {name for name in names if name.startswith("@")}
    return (names - inner).union(*(calls_of(name) for name in inner))


def test_a_stop_waits_for_a_tool_that_runs() -> None:
    """As long as a tool may take, and a moment more."""
    [seconds] = lines("TimeoutStopSec")
    assert int(seconds) >= Settings.model_fields["atlas_execute_seconds"].default + 30


async def test_the_gateway_starts_reloads_and_stops_as_the_unit_says(installed: Path, tmp_path: Path) -> None:
    """With its command and its environment; a reload while it starts does not end it."""
    data = tmp_path / "state"
    (installed / ".env").write_text(f"ATLAS_PORT=0\nATLAS_DATA_DIR={data}\n")
    [command], [given], [reload] = lines("ExecStart"), lines("Environment"), lines("ExecReload")
    environment = dict(pair.split("=", 1) for pair in given.split()) | {"PATH": os.environ["PATH"]}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command.replace(HERE, str(installed))),
            cwd=installed,
            env=environment | {"HOME": str(tmp_path)},
            stdout=output,
            stderr=output,
        )
    try:

        async def is_deaf() -> bool:
            return ignores_hangup(process.pid)

        await eventually(is_deaf)
        await say(reload, process.pid)

        async def answers() -> bool:
            assert process.returncode is None, log.read_text()
            found = re.search(r"MCP +(http://\S+)/mcp/sse", log.read_text())
            if found is None:
                return False
            async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
                with contextlib.suppress(httpx.TransportError):  # it is bound, and listens a moment later
                    return (await client.get(f"{found[1]}/readyz")).is_success
            return False

        await eventually(answers, seconds=START_SECONDS)
        assert (data / "atlas.db").exists()
        await say(reload, process.pid)
        await eventually(answers)
        process.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(process.wait(), WAIT_SECONDS)
        assert status == -signal.SIGTERM or [str(status)] == lines("SuccessExitStatus")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def ignores_hangup(process_id: int) -> bool:
    """Whether a SIGHUP would not end a process."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return bool(int(re.findall(r"SigIgn:\s*(\w+)", status)[0], 16) & 1)


async def say(command: str, process_id: int) -> None:
    """Run a command of the unit on the process."""
    words = command.replace("$MAINPID", str(process_id)).split()
    assert await (await asyncio.create_subprocess_exec(*words)).wait() == 0
