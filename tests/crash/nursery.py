"""Starts gateways in a fraction of the time: forks them from a process that has imported everything once.

A child is killed like any other process. The nursery writes its id, and then the status with which it ended.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateway_process import ROOT, GatewayProcess


class Child:
    """A forked process, in the words of asyncio's."""

    def __init__(self, pid: int, nursery: "Nursery") -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.create_task(self._read_end(nursery))

    async def _read_end(self, nursery: "Nursery") -> int:
        self.returncode = int(await asyncio.to_thread(nursery.read_line))
        return self.returncode

    async def wait(self) -> int:
        """Wait until it has ended and return its status."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has been buried."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send_signal(9)


class Nursery:
    """The process from which gateways are forked, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/tests:{ROOT}/tests/support"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.read_line() == "ready"

    def read_line(self) -> str:
        """The next line that it writes, whenever that is."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def bear(self, directory: Path, log: str, environment: dict[str, str]) -> int:
        """Start a gateway and return its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(directory), log, environment]) + "\n")
        self._process.stdin.flush()
        return int(self.read_line())

    def close(self) -> None:
        """End it; its children have ended."""
        self._process.kill()
        self._process.communicate()


class ForkedGateway(GatewayProcess):
    """A gateway whose processes come from a nursery."""

    def __init__(self, directory: Path, nursery: Nursery, **environment: str) -> None:
        super().__init__(directory, **environment)
        self._nursery = nursery

    async def _spawn(self, log: Any, environment: dict[str, str]) -> Any:
        pid = await asyncio.to_thread(self._nursery.bear, self.directory, log.name, environment)
        return Child(pid, self._nursery)


def become_child(directory: str, log: str, environment: dict[str, str]) -> None:
    """What a child does before it serves."""
    os.chdir(directory)
    for standard, path, mode in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_APPEND)):
        os.dup2(os.open(path, mode), standard)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()


def serve_as_child(arguments: list[Any]) -> None:
    """Serve until the end of the process, which has the status that it would have alone."""
    import crash.crash_gateway as script

    status = 0
    try:
        become_child(*arguments)
        script.main()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    """Fork a child for each line of standard input, one after the other."""
    import crash.crash_gateway as script

    script.import_everything()
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            serve_as_child(json.loads(line))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
