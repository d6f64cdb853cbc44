"""Forked gateways: each is like a process that Python begins, and none outlives the tests."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nursery
import pytest
from gateway_process import WAIT_SECONDS
from nursery import ROOT, Child

ARGUMENTS = ("sse", "a b")
SEEN = """
import json, os, random, signal, sys, threading
signals = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP)
print(json.dumps({
    "name": __name__,
    "argv": sys.argv,
    "path": sys.path,
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "signals": [str(signal.getsignal(one)).partition(" at ")[0] for one in signals],
    "threads": threading.active_count(),
    "files": [name for name in os.listdir("/dev/fd") if int(name) > 2],
}, sort_keys=True))
"""


async def forked(script: Path, environment: dict[str, str]) -> Child:
    """A process from the nursery, which writes into `forked`."""
    log = script.with_name("forked")
    return await nursery.forked(script, *ARGUMENTS, directory=script.parent, log=log, environment=environment)


async def begun(script: Path, environment: dict[str, str]) -> asyncio.subprocess.Process:
    """A process that Python begins, which writes into `begun`."""
    with script.with_name("begun").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            script,
            *ARGUMENTS,
            cwd=script.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


async def both(directory: Path, code: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """The status and the words of a script's process that is forked, and of one that Python begins."""
    script = directory / "script.py"
    script.write_text(code)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OF_THE_TEST": "yes"}
    ended = []
    for way in (forked, begun):
        process = await way(script, environment)
        status = await asyncio.wait_for(process.wait(), WAIT_SECONDS)
        ended.append((status, script.with_name(way.__name__).read_text()))
    return ended[0], ended[1]


async def test_a_forked_script_finds_what_one_finds_that_python_begins(tmp_path: Path) -> None:
    """Its name, arguments, modules, folder, environment, signals, threads and files are the same."""
    forked, begun = await both(tmp_path, SEEN)
    assert forked == begun and "OF_THE_TEST" in forked[1]


ENDINGS = [
    # code, status
    ("print('served')", 0),
    ("import atexit; atexit.register(print, 'closed'); raise SystemExit(3)", 3),
    ("raise SystemExit('The gateway cannot start.')", 1),
    ("raise ValueError('a mistake')", 1),
    ("import os; print('lost'); os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM),
    ("import signal; signal.signal(2, signal.default_int_handler); signal.raise_signal(2)", -signal.SIGINT),
]


@pytest.mark.parametrize(("code", "status"), ENDINGS)
async def test_a_forked_script_ends_as_one_that_python_begins(tmp_path: Path, code: str, status: int) -> None:
    """With the same status, and the same last words."""
    forked, begun = await both(tmp_path, code)
    assert forked[0] == begun[0] == status
    assert forked[1].splitlines()[-1:] == begun[1].splitlines()[-1:]


LEFT_BEHIND = """
import sys, time
from pathlib import Path
from nursery import nursery
script, log = map(Path, sys.argv[1:])
child = nursery().bear(script, directory=script.parent, log=str(log), environment={"PYTHONPATH": ""})
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_forked_script_ends_when_the_tests_are_killed(tmp_path: Path) -> None:
    """It holds a pipe open, whose other end is told when it has ended."""
    script, log, pipe = tmp_path / "script.py", tmp_path / "log", tmp_path / "pipe"
    os.mkfifo(pipe)
    log.touch()
    script.write_text(
        f"import time; held = open({str(pipe)!r}, 'w'); held.write('here'); held.flush(); time.sleep(600)"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", LEFT_BEHIND, script, log],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "tests" / "support")},
        stdout=subprocess.DEVNULL,
    )
    try:
        with pipe.open("rb") as reading:  # as soon as the script has opened it too
            assert reading.read(4) == b"here"
            tests.kill()
            assert reading.read() == b""
    finally:
        tests.kill()
        tests.wait()


def test_a_script_that_was_forked_after_the_tests_were_killed_ends_too(tmp_path: Path) -> None:
    """No one hears that it was born, and it is not left behind."""
    script, pipe = tmp_path / "script.py", tmp_path / "pipe"
    os.mkfifo(pipe)
    script.write_text(f"import time; held = open({str(pipe)!r}, 'w'); time.sleep(600)")
    (tmp_path / "log").touch()
    order = {"script": str(script), "arguments": [], "directory": str(tmp_path), "log": str(tmp_path / "log")}
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door"))
        door.listen()
        warm = nursery.warm_process(door)
    assert warm.stdin is not None and warm.stdout is not None
    with warm, os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reading:
        warm.stdout.close()
        warm.stdin.write(json.dumps(order | {"environment": {"PYTHONPATH": ""}}).encode() + b"\n")
        warm.stdin.flush()
        assert warm.wait() == 0
        os.set_blocking(reading.fileno(), True)
        assert reading.read() == b""


# Commands that are typed


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A `python` that forks the second command of a kind."""
    (tmp_path / "begun").mkdir()
    nursery.nursery().python(tmp_path / "python", begun=tmp_path / "begun")
    return tmp_path / "python"


OF_COMMAND = """
import json, os, sys
os.umask(umask := os.umask(0))
print(json.dumps({
    "name": __name__,
    "argv": sys.argv,
    "path": sys.path[0],
    "folder": os.getcwd(),
    "environment": {name: text for name, text in os.environ.items() if name not in ("_", "LC_CTYPE")},
    "umask": umask,
    "files": [name for name in os.listdir("/dev/fd") if int(name) > 2],
    "read": sys.stdin.read(),
    "modules": "fastmcp.server" in sys.modules,
}, sort_keys=True), flush=True)
for stream in (sys.stdin, sys.stdout, sys.stderr):
    stream.reconfigure(errors="replace")
print("a warning", file=sys.stderr)
raise SystemExit(7)
"""


def test_a_typed_command_is_forked_from_its_second_time_on(tmp_path: Path, quick: Path) -> None:
    """It has the same arguments, folder, environment, mask and files, and ends in the same way."""
    (tmp_path / "test_handshake.py").write_text(OF_COMMAND)
    begun, forked = (
        subprocess.run(
            [quick, "test_handshake.py", *ARGUMENTS],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "OF_THE_TEST": "yes"},
            input="typed",
            capture_output=True,
            text=True,
            umask=0o027,
        )
        for _ in range(2)
    )
    assert (begun.returncode, begun.stderr) == (forked.returncode, forked.stderr) == (7, "a warning\n")
    first, second = json.loads(begun.stdout), json.loads(forked.stdout)
    assert (first.pop("modules"), second.pop("modules")) == (False, True)
    assert first == second and first["umask"] == 0o027 and first["read"] == "typed"


def test_a_module_of_the_gateway_is_forked_too(tmp_path: Path, quick: Path) -> None:
    """What it prints is the same."""
    command = [quick, "-m", "atlas.people", "list"]
    folders = [tmp_path / name for name in ("one", "two")]  # for the first in a folder says more
    for folder in folders:
        folder.mkdir()
    how = {"env": {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    begun, forked = (subprocess.run(command, cwd=folder, **how) for folder in folders)
    assert (begun.returncode, begun.stdout, begun.stderr) == (
        forked.returncode,
        forked.stdout,
        forked.stderr,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_typed_command_that_is_ended_ends_what_was_forked(
    tmp_path: Path, quick: Path, number: signal.Signals
) -> None:
    """It holds a pipe open, whose other end is told when it has ended."""
    script, pipe = tmp_path / "test_handshake.py", tmp_path / "pipe"
    script.write_text("")
    subprocess.run([quick, script.name], cwd=tmp_path, check=True)
    os.mkfifo(pipe)
    script.write_text(
        f"import time; held = open({str(pipe)!r}, 'w'); held.write('here'); held.flush(); time.sleep(600)"
    )
    command = subprocess.Popen([quick, script.name], cwd=tmp_path)
    with pipe.open("rb") as reading:
        assert reading.read(4) == b"here"
        command.send_signal(number)
        assert command.wait(WAIT_SECONDS) == -number
        assert reading.read() == b""
