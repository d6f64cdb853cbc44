"""Starts crash_gateway in a fraction of the time: forks it from a process that has imported everything once.

A child is killed like any other process. Its nursery writes `pid`, and then the status with which it ended.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from gateway_process import START_SECONDS, GatewayProcess


class Child:
    """A forked process, in the words of asyncio's."""

    def __init__(self, pid: int, output: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.create_task(self._read_end(output))

    async def _read_end(self, output: asyncio.StreamReader) -> int:
        self.returncode = int(await output.readline())
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


class ForkedGateway(GatewayProcess):
    """A gateway whose processes are forked from a nursery, which `open` starts and `close` ends."""

    _nursery: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        """Start the nursery, and return when it has imported everything."""
        self._nursery = await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(__file__)), str(self.script)),
            cwd=self.directory,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._nursery.stdout is not None
        assert await asyncio.wait_for(self._nursery.stdout.readline(), START_SECONDS * 2) == b"ready\n"

    async def _spawn(self, log: Any, environment: dict[str, str]) -> Any:
        assert self._nursery is not None
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps([log.name, environment]).encode() + b"\n")
        pid = int(await asyncio.wait_for(self._nursery.stdout.readline(), START_SECONDS))
        return Child(pid, self._nursery.stdout)

    async def close(self) -> None:
        """End the nursery, whose child is dead."""
        if self._nursery is not None and self._nursery.returncode is None:
            self._nursery.kill()
            await self._nursery.wait()


def become_child(log: str, environment: dict[str, str]) -> None:
    """What the child does before it serves."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(environment)


def main() -> None:
    """Fork a child for each line of standard input, one after the other."""
    import crash.crash_gateway as script

    script.import_everything()
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become_child(*json.loads(line))
            script.main()
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
