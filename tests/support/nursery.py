"""Starts servers in a fraction of the time: forks them from a process that has imported everything once.

Each worker of pytest has one such process. A child is killed like any other process.
"""

import asyncio
import atexit
import functools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path

WARM_PROCESS = Path(__file__).with_name("warm_process.py")
QUICK_PYTHON = WARM_PROCESS.with_name("quick_python.py")
ROOT = WARM_PROCESS.parents[2]
BIRTH_SECONDS = 250.0  # the first waits for the imports


class Child:
    """A forked process, in the words of asyncio's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.end: Future[int] = Future()

    @property
    def returncode(self) -> int | None:
        """The status with which it ended, or None while it runs."""
        return self.end.result() if self.end.done() else None

    async def wait(self) -> int:
        """Wait until it has ended and return its status."""
        while not self.end.done():  # noqa: ASYNC110  (a thread sets it, for any event loop)
            await asyncio.sleep(0.01)
        return self.end.result()

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has been buried."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send_signal(signal.SIGKILL)


def warm_process(door: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process that imports everything and forks; its door may have been knocked at before."""
    return subprocess.Popen(
        [sys.executable, WARM_PROCESS, str(door.fileno())],
        cwd="/",  # where no .env is
        env={"PATH": os.environ["PATH"], "HOME": os.devnull, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[door.fileno()],
    )


@functools.cache
def begun_by_this_run() -> Path:
    """The folder that notes which commands the real Python has begun in this run of the tests."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = Path(tempfile.gettempdir()) / f"begun-{run}"
    folder.mkdir(exist_ok=True)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Nursery:
    """The process from which servers are forked."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nursery"))  # a path of few letters, as a socket needs it
        self.door = self._folder / "door"
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(self.door))
            door.listen(64)
            self._process = warm_process(door)
        self._births: deque[Future[Child]] = deque()
        self._living: dict[int, Child] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def bear(
        self, script: Path, *arguments: str, directory: Path, log: str, environment: dict[str, str]
    ) -> Child:
        """Have a script run by a process of its own, which writes all that it prints into a log."""
        order = {"script": str(script), "arguments": arguments, "directory": str(directory), "log": log}
        order["environment"] = environment
        birth: Future[Child] = Future()
        assert self._process.stdin is not None
        with self._lock:
            self._births.append(birth)
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        return birth.result(BIRTH_SECONDS)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            what, pid, *status = line.decode().split()
            if what == "born":
                child = self._living[int(pid)] = Child(int(pid))
                self._births.popleft().set_result(child)
            else:
                self._living.pop(int(pid)).end.set_result(int(status[0]))
        ended = RuntimeError(
            "The process from which gateways are forked has ended; its last words are above."
        )
        for future in (*self._births, *(child.end for child in self._living.values())):
            future.set_exception(ended)

    def close(self) -> None:
        """End it, and its children with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def python(self, file: Path, *, real: Path = Path(sys.executable), begun: Path | None = None) -> None:
        """Make a `python` that forks a command of the gateway; what it does not know, the real one does.

        Each command begins once as it does for a reader: by the real one, which imports all that it needs.
        The folder `begun` notes which have: all workers of a run have one.
        """
        options = ("-I", "-S", QUICK_PYTHON, self.door, begun or begun_by_this_run(), real)
        words = shlex.join(map(str, (sys.executable, *options)))
        file.write_text(f'#!/bin/sh\nexec {words} "$0" "$@"\n')
        file.chmod(0o755)


async def forked(
    script: Path, *arguments: str, directory: Path, log: Path, environment: dict[str, str]
) -> Child:
    """A process from the nursery of this process; its log is new."""
    await asyncio.to_thread(log.write_bytes, b"")
    bear = functools.partial(nursery().bear, script, *arguments)
    return await asyncio.to_thread(bear, directory=directory, log=str(log), environment=environment)


@functools.cache
def nursery() -> Nursery:
    """The one of this process, which ends with it."""
    one = Nursery()
    atexit.register(one.close)
    return one


@functools.cache
def quick_python() -> str:
    """The path of a `python` that forks the gateway's commands; each begins once by the real one."""
    file = nursery().door.with_name("python")
    nursery().python(file)
    return str(file)
