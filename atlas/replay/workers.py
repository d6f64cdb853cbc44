"""Processes that compare windows of calls; what they say is put together in the order of the calls.

They yield to every other process, and end with the one that began them.
"""

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from atlas.database.choose import beside
from atlas.errors import AtlasError, DatabaseUnusable
from atlas.replay.comparing import Comparing, Part, Task
from atlas.replay.past import Window

MOST_MEMORY = 2**30  # bytes of addresses, which a pasted policy cannot fill
NICEST = 19
AHEAD = 2  # windows that a worker has to do, or has done before they are asked for


class WorkerEnded(AtlasError):
    """A process that tried the policy ended before it was done. Run it again with `--workers 1`."""


def give_way() -> None:
    """Have this process yield to others, and bound its memory."""
    os.nice(NICEST)
    with suppress(OSError, ValueError):  # a system without such a limit
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def cores() -> int:
    """How many cores this process may use."""
    with suppress(AttributeError):  # a system that does not bind processes to cores
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compared(task: Task, windows: Sequence[Window], ends_at: float, *, workers: int) -> Generator[Part]:
    """The calls of all windows in their order; raises DatabaseUnusable or WorkerEnded."""
    if workers == 1:
        comparing = Comparing(task)
        for window in windows:
            yield from comparing.parts(window, ends_at)
        return
    with _working(task, workers) as connections:
        for place, window in enumerate(windows[: AHEAD * workers]):
            connections[place % workers].send((window, ends_at))
        for place in range(len(windows)):
            connection = connections[place % workers]
            yield from _heard(connection, task)
            for window in windows[place + AHEAD * workers :][:1]:
                connection.send((window, ends_at))


def _heard(connection: Connection, task: Task) -> Iterator[Part]:
    """The parts of one window."""
    try:
        while (said := connection.recv()) is not None:
            if isinstance(said, str):
                raise DatabaseUnusable(path=beside(task.location).place, reason=said)
            yield said
    except (EOFError, OSError) as error:
        raise WorkerEnded from error


@contextmanager
def _working(task: Task, workers: int) -> Iterator[list[Connection]]:
    """So many processes, each behind a connection; none is left afterwards."""
    spawning = multiprocessing.get_context("spawn")
    processes, connections = [], []
    try:
        for _ in range(workers):
            ours, theirs = spawning.Pipe()
            process = spawning.Process(target=_work, args=(theirs, task), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
        yield connections
    finally:
        for process in processes:
            process.kill()
            process.join()
        for connection in connections:
            connection.close()


def _work(connection: Connection, task: Task) -> None:
    """What a worker does until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that began it hears it too
    give_way()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        comparing = Comparing(task)
        while True:
            # `monotonic` is one clock for all processes of a machine.
            window, ends_at = connection.recv()
            for part in comparing.parts(window, ends_at):
                connection.send(part)
            connection.send(None)
    except DatabaseUnusable as error:
        connection.send(str(error.fields["reason"]))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
