"""The process from which the tests' servers are forked: it has imported what they need, and serves nothing.

Each line of its standard input starts a server. It says `born PID`, and at the end `ended PID STATUS`.
When standard input closes, because the tests have ended or were killed, it ends all gateways and itself.
"""

import ast
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTED_LATER = (  # by a gateway that starts, is called, or has servers behind it
    *("anyio._backends._asyncio", "httpcore", "pydantic.v1", "uvicorn.lifespan.on"),
    *("uvicorn.loops.auto", "uvicorn.protocols.http.auto", "fastmcp.server.sessions"),
    *("celpy", "key_value.aio.stores.memory", "fastmcp.client", "fastmcp.client.transports"),
    *("jsonschema", "atlas.database.migrations", "alembic.command", "mcp.server.subscriptions"),
    "atlas.origins.orders",
)
BEFORE_PYTHONS = 2  # places of modules: the folder of the script and PYTHONPATH
INTERRUPT = signal.getsignal(signal.SIGINT)  # not Python's where a shell runs the tests in the background
OF_PYTHON = {name: os.environ[name] for name in ("LC_CTYPE",) if name in os.environ}  # set where no locale is


def import_everything() -> None:
    """Import what gateway.py and workflows.py import, but not these two: they read the settings."""
    for name in ("gateway.py", "workflows.py"):
        for node in ast.parse((ROOT / name).read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "workflows":
                exec(compile(ast.Module([node], []), name, "exec"), {})  # noqa: S102
    for name in IMPORTED_LATER:
        importlib.import_module(name)
    gc.freeze()


def tell(*words: object) -> None:
    """Write a line in one piece; sys.stdout stays empty for the children."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def bury(living: set[int]) -> None:
    """Tell which gateways have ended, and how."""
    for pid in list(living):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            living.remove(pid)
            tell("ended", pid, os.waitstatus_to_exitcode(status))


def end_all(living: set[int]) -> None:
    """End the gateways that still run."""
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def stay(reader: int, living: set[int]) -> dict[str, str] | None:
    """Fork a gateway for each line; return its line in the child, and nothing when the input has closed."""
    unread = b""
    while True:
        ready, _, _ = select.select([0, reader], [], [])
        if reader in ready:
            os.read(reader, 4096)
            bury(living)
        if 0 not in ready:
            continue
        if not (read := os.read(0, 65536)):
            return None
        *lines, unread = (unread + read).split(b"\n")
        for line in lines:
            assert threading.active_count() == 1, "a thread does not survive a fork"
            if (pid := os.fork()) == 0:
                return dict(json.loads(line))
            living.add(pid)
            tell("born", pid)


def put(path: str, flags: int, *descriptors: int) -> None:
    """Open a file as these descriptors."""
    opened = os.open(path, flags)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    os.close(opened)


def become(script: str, arguments: list[str], directory: str, log: str, environment: dict[str, str]) -> None:
    """Have what a process has that Python begins: folder, files, environment, signals, places of modules."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, INTERRUPT)
    os.chdir(directory)
    put(os.devnull, os.O_RDONLY, 0)
    put(log, os.O_WRONLY | os.O_APPEND, 1, 2)
    os.environ.clear()
    os.environ.update(OF_PYTHON | environment)
    sys.argv[:] = [script, *arguments]
    sys.path[:BEFORE_PYTHONS] = [str(Path(script).parent), *environment["PYTHONPATH"].split(os.pathsep)]
    random.seed()


def main() -> None:
    """Import, fork, and in a child run the script to its end, which is then the end of the process."""
    import_everything()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end this process
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    living: set[int] = set()
    try:
        gateway = stay(reader, living)
    except BrokenPipeError:  # the tests were killed, and no one hears that a gateway was born or ended
        gateway = None
    if gateway is None:
        end_all(living)
    else:
        become(**gateway)  # type: ignore[arg-type]
        os.close(reader)
        os.close(writer)
        runpy.run_path(gateway["script"], run_name="__main__")


if __name__ == "__main__":
    main()
