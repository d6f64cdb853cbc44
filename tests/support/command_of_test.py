"""A command of the gateway, `python -m MODULE …`, forked from a process that has imported everything.

What a cold start of each command is like, other tests show, as tests/operate/test_start.py.
"""

import asyncio
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nursery import ROOT, nursery

SECONDS = 250.0


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def ran(module: str, *words: str, environment: Mapping[str, str], directory: Path = ROOT) -> Ran:
    """Run it to its end, with nothing to read."""
    with tempfile.TemporaryDirectory() as folder:
        said, errors = Path(folder, "said"), Path(folder, "errors")
        for file in (said, errors):
            file.touch()
        child = nursery().bear(
            Path(__file__),
            *(str(errors), module, *words),
            directory=directory,
            log=str(said),
            environment={"PYTHONPATH": str(ROOT)} | dict(environment),
        )
        try:
            status = child.end.result(SECONDS)
        finally:
            child.kill()
        return Ran(status, said.read_text(), errors.read_text())


async def ran_beside(module: str, *words: str, environment: Mapping[str, str], directory: Path = ROOT) -> Ran:
    """The same while other things go on."""
    return await asyncio.to_thread(ran, module, *words, environment=environment, directory=directory)


def main() -> None:
    """Be the command."""
    errors, module, *_ = sys.argv[1:]
    opened = os.open(errors, os.O_WRONLY | os.O_APPEND)
    os.dup2(opened, 2)
    os.close(opened)
    del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
