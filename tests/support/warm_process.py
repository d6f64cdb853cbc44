"""The process from which the tests' servers are forked: it has imported what they need, and serves nothing.

Each line of its standard input starts a server. It says `born PID`, and at the end `ended PID STATUS`.
At its door, a socket, `quick_python.py` asks for a command and learns its PID and its status.
When standard input closes, because the tests have ended or were killed, it ends all gateways and itself.
"""

import ast
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
IMPORTED_LATER = (  # by a gateway that starts, is called, or has servers behind it
    *("anyio._backends._asyncio", "httpcore", "pydantic.v1", "uvicorn.lifespan.on"),
    *("uvicorn.loops.auto", "uvicorn.protocols.http.auto", "fastmcp.server.sessions"),
    *("celpy", "key_value.aio.stores.memory", "fastmcp.client", "fastmcp.client.transports"),
    *("jsonschema", "atlas.database.migrations", "alembic.command", "mcp.server.subscriptions"),
    *("atlas.telemetry.collector", "atlas.telemetry.metrics", "atlas.origins.orders", "jinja2", "uvloop"),
    *(
        "atlas.database.postgresql.store",
        "atlas.database.postgresql.shared_lease",
        "atlas.assessors.policy.conditions",
    ),
    *("atlas.telemetry.call_spans", "httpcore2"),
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
    build_an_app()
    gc.freeze()


def build_an_app() -> None:
    """Build the app once and throw it away: the next ones find each pattern, schema and grammar."""
    runpy.run_path(str(ROOT / "gateway.py"), run_name="built once")
    sys.modules["atlas.assessors.policy.conditions"].Condition("true")
    del sys.modules["workflows"]  # it has read the settings
    gc.collect()


def tell(*words: object) -> None:
    """Write a line in one piece; sys.stdout stays empty for the children."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


Order = dict[str, Any]
Living = dict[int, socket.socket | None]  # who asked for it at the door, of a child that runs


def bury(living: Living) -> None:
    """Tell which children have ended, and how."""
    for pid in list(living):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            answer(living.pop(pid), "ended", pid, os.waitstatus_to_exitcode(status))


def answer(asker: socket.socket | None, *words: object) -> None:
    """Tell the tests, or the command that asked at the door, which is gone after its end."""
    if asker is None:
        tell(*words)
        return
    with contextlib.suppress(OSError):
        asker.sendall((" ".join(map(str, words)) + "\n").encode())
    if words[0] == "ended":
        asker.close()


def end_all(living: Living) -> None:
    """End the children that still run."""
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def fork(asker: socket.socket | None, living: Living) -> bool:
    """Whether this is the child that was asked for."""
    assert threading.active_count() == 1, "a thread does not survive a fork"
    if (pid := os.fork()) == 0:
        living[0] = asker  # closed with those of the others
        return True
    living[pid] = asker
    answer(asker, "born", pid)
    return False


def ordered_at(door: socket.socket, living: Living) -> Order | None:
    """Fork a child for a command at the door, with the command's own files; return its order in the child."""
    asker, _ = door.accept()
    read, files, _, _ = socket.recv_fds(asker, 65536, 3)
    while read and not read.endswith(b"\n"):
        read += (more := asker.recv(65536))
        read = read if more else b""  # it was killed while it asked
    order = {**json.loads(read), "files": files} if read else None
    if order and fork(asker, living):
        return order
    for file in files:
        os.close(file)
    return None


def stay(reader: int, door: socket.socket, living: Living) -> Order | None:
    """Fork a child for each order; return its order in the child, and nothing when the input has closed."""
    unread = b""
    while True:
        askers = {asker: pid for pid, asker in living.items() if asker is not None}
        ready, _, _ = select.select([0, reader, door, *askers], [], [])
        for asker in askers.keys() & set(ready):  # it says nothing more, so it was killed
            os.kill(askers[asker], signal.SIGKILL)
        if reader in ready or askers.keys() & set(ready):
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 4096)
            bury(living)
        if door in ready and (order := ordered_at(door, living)):
            return order
        if 0 not in ready:
            continue
        if not (read := os.read(0, 65536)):
            return None
        *lines, unread = (unread + read).split(b"\n")
        for line in lines:
            if fork(None, living):
                return dict(json.loads(line))


def put(path: str, flags: int, *descriptors: int) -> None:
    """Open a file as these descriptors."""
    opened = os.open(path, flags)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    os.close(opened)


def begin(directory: str, environment: dict[str, str], words: list[str], folder: str) -> None:
    """Have what a process has that Python begins: folder, environment, arguments, signals, modules."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, INTERRUPT)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(OF_PYTHON | environment)
    sys.argv[:] = words
    places = environment.get("PYTHONPATH")
    sys.path[:BEFORE_PYTHONS] = [folder, *([] if places is None else places.split(os.pathsep))]
    random.seed()


def serve(script: str, arguments: list[str], directory: str, log: str, environment: dict[str, str]) -> None:
    """Run a script to its end, with a log for all that it prints."""
    begin(directory, environment, [script, *arguments], str(Path(script).parent))
    put(os.devnull, os.O_RDONLY, 0)
    put(log, os.O_WRONLY | os.O_APPEND, 1, 2)
    runpy.run_path(script, run_name="__main__")


def obey(words: list[str], directory: str, environment: dict[str, str], umask: int, files: list[int]) -> None:
    """Run what stands behind `python` to its end, with the files of who typed it, and no other terminal."""
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    os.setsid()
    os.umask(umask)
    # Each is another kind of file than before: a terminal, or one with a beginning.
    sys.stdin = os.fdopen(0, closefd=False, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", closefd=False, encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", 1, closefd=False, encoding="utf-8", errors="backslashreplace")
    if words[0] != "-m":
        begin(directory, environment, words, str(Path(directory, words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")
        return
    begin(directory, environment, words[1:], directory)
    runpy.run_module(words[1], run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, fork, and in a child run what was ordered to its end, which is then the end of the process."""
    import_everything()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    door = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end this process
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    living: Living = {}
    try:
        order = stay(reader, door, living)
    except BrokenPipeError:  # the tests were killed, and no one hears that a gateway was born or ended
        order = None
    if order is None:
        end_all(living)
        return
    for held in (door, *filter(None, living.values())):
        held.close()
    os.close(reader)
    os.close(writer)
    (obey if "words" in order else serve)(**order)


if __name__ == "__main__":
    main()
