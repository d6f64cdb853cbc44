"""Forked gateways: each is like a process that Python begins, and none outlives the tests."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nursery
import pytest
from gateway_process import WAIT_SECONDS
from nursery import ROOT, WARM_PROCESS, Child

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
    warm = subprocess.Popen(
        [sys.executable, WARM_PROCESS],
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": os.devnull, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert warm.stdin is not None and warm.stdout is not None
    with warm, os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reading:
        warm.stdout.close()
        warm.stdin.write(json.dumps(order | {"environment": {"PYTHONPATH": ""}}).encode() + b"\n")
        warm.stdin.flush()
        assert warm.wait() == 0
        os.set_blocking(reading.fileno(), True)
        assert reading.read() == b""
